using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Softmax attention in double over the numbers of a <see cref="StoredCase"/>, with a bound of how far a kernel may be off.</summary>
/// <remarks>
/// The bound, first order in u = 2^-24 with denominators kept. With n the key's elements and x a logit in natural units:
/// <list type="bullet">
/// <item>A dot product of n terms in any order, with a channel scale in each, a key scale, the factor (itself rounded with the static scale)
/// behind it: (n + 12) u T, T = scale * sum |q k|.</item>
/// <item>INT8 rows in place: each q * (factor of its code) is rounded to a multiple of 1/32767 of the row's largest: half a step times
/// the codes' magnitudes.</item>
/// <item>A cap c: (1 - 2^-y) / (1 + 2^-y) is off by 4.2 u + 5.2 u of its parts, and 6 u for tanh, the products and the clamp: 16 u c; the
/// derivative of tanh is at most 1.</item>
/// <item>x - maximum, the rescalings' differences (which add up to at most twice X, the largest |x|) and the change of base in the
/// definition: 12 u X.</item>
/// <item>A weight: exp of the above, and 4 u for the polynomial. Weights and remainders below 2^-126 become 0.</item>
/// <item>Sums: one rounding a token of a part, 4 an item (rescaling), 4 a part, 12 at the ends, in numerator and denominator alike.</item>
/// <item>INT8 values in place: weight * scale is rounded to a multiple of 1/32767 of the largest of its tile: half a step times the codes.</item>
/// <item>BF16 weights: 2^-8 each, in numerator and denominator.</item>
/// </list>
/// </remarks>
sealed class ReferenceAttention
{
    const double U = 1.0 / (1 << 24), HalfStep = 0.5 / 32767 * 1.001, BFloat16Rounding = 1.0 / 256 * 1.001;

    public required double[] Output { get; init; }

    public required double[] OutputBound { get; init; }

    public required double[] LogSumExp { get; init; }

    public required double[] LogSumExpBound { get; init; }

    /// <param name="stored">The sequence.</param>
    /// <param name="query"><c>[query token][head][dim]</c>.</param>
    /// <param name="queryHeads">Query heads.</param>
    /// <param name="options">As given to the kernel.</param>
    /// <param name="latentDim">Elements of a value of a latent group; 0 otherwise.</param>
    /// <param name="onePart">Whether tokens are added in one chain, as prefill does.</param>
    /// <param name="joins">How often parts are joined afterwards: each rounds log-sum-exps, which are at most X + ln(tokens), and outputs.</param>
    public static ReferenceAttention Attend(StoredCase stored, float[] query, int queryHeads, in AttentionOptions options, int latentDim = 0, bool onePart = false, int joins = 0)
    {
        LayerGroup group = stored.Group;
        int dim = group.HeadDim, valueDim = latentDim != 0 ? latentDim : dim, rows = query.Length / dim, queryTokens = rows / queryHeads, tokens = stored.Tokens;
        double scale = options.SoftmaxScale != 0 ? options.SoftmaxScale : 1 / Math.Sqrt(dim), cap = options.LogitCap;
        bool integer = group.ElementType == ElementType.Int8 && group.Order is not (DimensionOrder.PackedKey or DimensionOrder.TransposedKey);
        bool rounded = options.Weights == SoftmaxWeights.BFloat16;
        long window = Math.Min(options.WindowTokens != 0 ? options.WindowTokens : long.MaxValue / 2, group.WindowTokens != 0 ? group.WindowTokens : long.MaxValue / 2);
        long first = options.QueryPosition ?? tokens - queryTokens;
        var result = new ReferenceAttention
        {
            Output = new double[rows * valueDim],
            OutputBound = new double[rows * valueDim],
            LogSumExp = new double[rows],
            LogSumExpBound = new double[rows],
        };
        double[] keys = stored.Keys, values = stored.Values;
        double[] logits = new double[tokens], errors = new double[tokens], weights = new double[tokens], weighted = new double[valueDim], loose = new double[valueDim], plain = new double[valueDim];
        for (int row = 0; row < rows; row++)
        {
            int kvHead = row % queryHeads / (queryHeads / group.KvHeads), stride = group.KvHeads * dim;
            long position = first + row / queryHeads;
            int from = (int)Math.Max(options.StartToken, Math.Max(0, position - window + 1)), to = (int)Math.Min(options.EndToken ?? tokens, position + 1);
            double largest = double.NegativeInfinity, magnitude = 0;
            for (int t = from; t < to; t++)
            {
                int at = t * stride + kvHead * dim;
                (double dot, double terms) = Dot(query, row * dim, keys, at, dim);
                double error = (dim + 12) * U * terms * scale + (integer ? scale * Steps(query, row * dim, stored.KeyFactors, keys, at, dim) : 0);
                double logit = dot * scale;
                if (cap != 0) (logit, error) = (cap * Math.Tanh(logit / cap), error + 16 * U * cap);
                (logits[t], errors[t]) = (logit, error);
                largest = Math.Max(largest, logit);
                magnitude = Math.Max(magnitude, cap != 0 ? cap : terms * scale);
            }

            double sink = options.Sinks.IsEmpty ? double.NegativeInfinity : options.Sinks.Span[row % queryHeads];
            double reference = Math.Max(largest, sink), chain = (Chain(group, from, to, onePart) + joins * 2 * (4 + Math.Max(magnitude, sink) + Math.Log(tokens + 1))) * U;
            if (double.IsNegativeInfinity(reference))
            {
                result.LogSumExp[row] = double.NegativeInfinity;
                continue;
            }

            double sum = Math.Exp(sink - reference), sumError = 0;
            foreach (double[] sums in (double[][])[weighted, loose, plain]) Array.Clear(sums);
            for (int t = from; t < to; t++)
            {
                double p = Math.Exp(logits[t] - reference), off = Math.Exp(errors[t] + 12 * U * magnitude) - 1 + 4 * U + chain + (rounded ? BFloat16Rounding : 0);
                weights[t] = p;
                sum += p;
                sumError += p * off;
                int at = t * stride + kvHead * dim;
                for (int d = 0; d < valueDim; d++)
                {
                    double value = values[at + d];
                    weighted[d] += p * value;
                    loose[d] += p * off * Math.Abs(value);
                    plain[d] += Math.Abs(value);
                }
            }

            if (integer) AddWeightSteps(stored, kvHead, from, to, valueDim, weights, loose);
            double relative = sumError / sum;
            Assert.True(relative < 0.5, $"the case has no bound: the weights are off by a factor of {1 + relative}");
            for (int d = 0; d < valueDim; d++)
            {
                double output = weighted[d] / sum;
                result.Output[row * valueDim + d] = output;
                result.OutputBound[row * valueDim + d] = (loose[d] / sum + relative * Math.Abs(output)) / (1 - relative) + plain[d] * 1e-36;
            }

            result.LogSumExp[row] = reference + Math.Log(sum);
            result.LogSumExpBound[row] = relative / (1 - relative) + 2 * U * Math.Abs(result.LogSumExp[row]) + 1e-14;
        }

        return result;
    }

    /// <summary>Fails unless a result is within <paramref name="factor"/> bounds.</summary>
    public void Check(ReadOnlySpan<float> output, ReadOnlySpan<float> logSumExp, string what, double factor = 1)
    {
        Assert.Equal((Output.Length, LogSumExp.Length), (output.Length, logSumExp.Length));
        for (int i = 0; i < output.Length; i++)
        {
            // Written so that a NaN fails.
            if (!(Math.Abs(output[i] - Output[i]) <= factor * OutputBound[i]))
                Assert.Fail($"{what}: output[{i}] is {output[i]}; expected {Output[i]} +- {factor * OutputBound[i]}.");
        }

        for (int h = 0; h < logSumExp.Length; h++)
        {
            if (double.IsNegativeInfinity(LogSumExp[h]) ? !float.IsNegativeInfinity(logSumExp[h]) : !(Math.Abs(logSumExp[h] - LogSumExp[h]) <= factor * LogSumExpBound[h]))
                Assert.Fail($"{what}: log-sum-exp[{h}] is {logSumExp[h]}; expected {LogSumExp[h]} +- {factor * LogSumExpBound[h]}.");
        }
    }

    static (double Dot, double Terms) Dot(float[] query, int queryAt, double[] keys, int keyAt, int dim)
    {
        ReadOnlySpan<float> q = query.AsSpan(queryAt, dim);
        ReadOnlySpan<double> k = keys.AsSpan(keyAt, dim);
        double dot = 0, terms = 0;
        for (int d = 0; d < q.Length; d++)
        {
            double product = q[d] * k[d];
            dot += product;
            terms += Math.Abs(product);
        }

        return (dot, terms);
    }

    static double Steps(float[] query, int queryAt, double[] factors, double[] keys, int keyAt, int dim)
    {
        double largest = 0, codes = 0;
        for (int d = 0; d < dim; d++)
        {
            // No factor: a row of the tail.
            if (factors[keyAt + d] == 0) return 0;
            largest = Math.Max(largest, Math.Abs(query[queryAt + d] * factors[keyAt + d]));
            codes += Math.Abs(keys[keyAt + d] / factors[keyAt + d]);
        }

        return HalfStep * largest * codes;
    }

    // What rounding the weights of a tile adds to the numerators.
    static void AddWeightSteps(StoredCase stored, int kvHead, int from, int to, int valueDim, double[] weights, double[] loose)
    {
        LayerGroup group = stored.Group;
        int tile = Math.Min(64, group.BlockTokens), stride = group.KvHeads * group.HeadDim;
        for (int start = from; start < to;)
        {
            int within = start % group.BlockTokens, end = Math.Min(to, start - within + Math.Min((within / tile + 1) * tile, group.BlockTokens));
            for (int d = 0; d < valueDim; d++)
            {
                double largest = 0, codes = 0;
                for (int t = start; t < end; t++)
                {
                    int at = t * stride + kvHead * group.HeadDim + d;
                    double factor = stored.ValueFactors[at];
                    if (factor == 0) continue;
                    largest = Math.Max(largest, weights[t] * factor);
                    codes += Math.Abs(stored.Values[at] / factor);
                }

                loose[d] += HalfStep * largest * codes;
            }

            start = end;
        }
    }

    static double Chain(LayerGroup group, int from, int to, bool onePart)
    {
        // The plan of decode attention: parts of a multiple of 512 tokens, 64 of them at most.
        int tokens = Math.Max(0, to - from), partTokens = onePart ? tokens : Math.Min(tokens, (tokens / (512 * 64) + 1) * 512);
        int items = (partTokens / group.BlockTokens + 2) * ((group.BlockTokens + 63) / 64 + 1);
        return partTokens + 4.0 * Math.Min(items, partTokens) + 4 * (onePart ? 1 : 66) + 12;
    }
}
