namespace KvHandoff.Core.Tests.Model;

/// <summary>
/// The Llama forward pass as its papers write it: double precision, one token at a time, nothing blocked or cached but the keys and
/// values. Shares no code with the runtime.
/// </summary>
internal static class ReferenceForward
{
    /// <summary>Logits after every token.</summary>
    internal static double[][] Run(SyntheticCheckpoint model, Dictionary<string, float[]> weights, int[] tokens)
    {
        int groupSize = model.QueryHeads / model.KvHeads;
        var keys = new List<double[]>[model.Layers];
        var values = new List<double[]>[model.Layers];
        for (int layer = 0; layer < model.Layers; layer++) (keys[layer], values[layer]) = ([], []);
        var all = new double[tokens.Length][];
        for (int position = 0; position < tokens.Length; position++)
        {
            double[] x = Row(weights["model.embed_tokens.weight"], tokens[position], model.Hidden);
            for (int layer = 0; layer < model.Layers; layer++)
            {
                string p = $"model.layers.{layer}.";
                double[] h = Norm(x, weights[p + "input_layernorm.weight"]);
                double[] q = Rotate(model, Project(weights[p + "self_attn.q_proj.weight"], h), position);
                keys[layer].Add(Rotate(model, Project(weights[p + "self_attn.k_proj.weight"], h), position));
                values[layer].Add(Project(weights[p + "self_attn.v_proj.weight"], h));
                var attended = new double[q.Length];
                for (int head = 0; head < model.QueryHeads; head++)
                    Attend(q, keys[layer], values[layer], head * model.HeadDim, head / groupSize * model.HeadDim, model.HeadDim, attended);
                x = Sum(x, Project(weights[p + "self_attn.o_proj.weight"], attended));
                h = Norm(x, weights[p + "post_attention_layernorm.weight"]);
                double[] gate = Project(weights[p + "mlp.gate_proj.weight"], h), up = Project(weights[p + "mlp.up_proj.weight"], h);
                for (int i = 0; i < gate.Length; i++) gate[i] = gate[i] / (1 + Math.Exp(-gate[i])) * up[i];
                x = Sum(x, Project(weights[p + "mlp.down_proj.weight"], gate));
            }

            string head0 = model.Tied ? "model.embed_tokens.weight" : "lm_head.weight";
            all[position] = Project(weights[head0], Norm(x, weights["model.norm.weight"]));
        }

        return all;
    }

    private static void Attend(double[] q, List<double[]> keys, List<double[]> values, int at, int kvAt, int dim, double[] output)
    {
        var scores = new double[keys.Count];
        for (int t = 0; t < scores.Length; t++)
        {
            for (int d = 0; d < dim; d++) scores[t] += q[at + d] * keys[t][kvAt + d];
            scores[t] = Math.Exp(scores[t] / Math.Sqrt(dim));
        }

        double total = scores.Sum();
        for (int t = 0; t < scores.Length; t++)
            for (int d = 0; d < dim; d++) output[at + d] += scores[t] / total * values[t][kvAt + d];
    }

    // The pair (i, i + dim / 2) as a complex number, times exp(i angle).
    private static double[] Rotate(SyntheticCheckpoint model, double[] heads, int position)
    {
        int half = model.HeadDim / 2;
        var turned = new double[heads.Length];
        for (int at = 0; at < heads.Length; at += model.HeadDim)
        {
            for (int i = 0; i < half; i++)
            {
                double frequency = Math.Exp(-Math.Log(model.RopeTheta) * 2 * i / model.HeadDim);
                if (model.RopeScaling is { } s)
                    frequency = RopeScalingTests.Published(frequency, s.Factor, s.LowFrequencyFactor, s.HighFrequencyFactor, s.OriginalMaxPositions);
                var pair = new System.Numerics.Complex(heads[at + i], heads[at + half + i]) * System.Numerics.Complex.FromPolarCoordinates(1, position * frequency);
                (turned[at + i], turned[at + half + i]) = (pair.Real, pair.Imaginary);
            }
        }

        return turned;
    }

    private static double[] Row(float[] matrix, int row, int width) => [.. matrix.Skip(row * width).Take(width).Select(v => (double)v)];

    private static double[] Norm(double[] x, float[] weight)
    {
        double root = Math.Sqrt(x.Sum(v => v * v) / x.Length + 1e-5);
        return [.. x.Select((v, i) => v / root * weight[i])];
    }

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    private static double[] Project(float[] matrix, double[] x)
    {
        var y = new double[matrix.Length / x.Length];
        for (int r = 0; r < y.Length; r++)
            for (int c = 0; c < x.Length; c++) y[r] += (double)matrix[r * x.Length + c] * x[c];
        return y;
    }
}
