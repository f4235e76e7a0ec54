using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Softmax attention in double over rows that are decoded here, apart from the library's conversions.</summary>
sealed class AttentionOracle
{
    // Unit roundoff of fp32.
    const double U = 1.0 / (1 << 24);

    public required double[] Output { get; init; }

    /// <summary>How far each output element may be off.</summary>
    public required double[] OutputBound { get; init; }

    public required double[] LogSumExp { get; init; }

    public required double[] LogSumExpBound { get; init; }

    /// <summary>Rows of one plane as <c>[token][kv head][dim]</c>; exact, since fp32 holds every narrower value.</summary>
    public static float[] Decode(in KvLayerView view, KvPlane plane)
    {
        LayerGroup group = view.Group;
        int dim = group.HeadDim;
        var decoded = new float[view.Tokens * group.KvHeads * dim];
        for (int t = 0; t < view.Tokens; t++)
        {
            for (int h = 0; h < group.KvHeads; h++)
            {
                ReadOnlySpan<byte> row = view.Row(h, plane, t);
                for (int d = 0; d < dim; d++) decoded[(t * group.KvHeads + h) * dim + d] = DecodeOne(row, d, group.ElementType);
            }
        }

        return decoded;
    }

    /// <remarks>
    /// The bound. Widening is exact in every element type, so one bound serves all; what remains is fp32 arithmetic, u = 2^-24:
    /// a logit is a chain of at most dim products and sums, a scaled query and a subtraction of the maximum: off by at most
    /// e = (dim + 16) u S, S the largest sum of |q k| scale of a visible token (which also bounds the logits and the maximum);
    /// a weight is off by a factor exp(e) and 4 u of the exponential;
    /// numerator and denominator are chains of at most one term per token and one rescaling per item of a token or more,
    /// g = (2 tokens + 8) u together with the division. So |error| is at most (2 (exp(e) - 1) + 2 g + 8 u) sum(p |v|) / sum(p).
    /// </remarks>
    public static AttentionOracle Attend(ReadOnlySpan<float> query, int queryHeads, int kvHeads, int dim, float[] keys, float[] values, double scale, int start, int end)
    {
        var output = new double[queryHeads * dim];
        var outputBound = new double[queryHeads * dim];
        var logSumExp = new double[queryHeads];
        var logSumExpBound = new double[queryHeads];
        var scores = new double[Math.Max(0, end - start)];
        for (int h = 0; h < queryHeads; h++)
        {
            int kvHead = h / (queryHeads / kvHeads);
            double largest = double.NegativeInfinity, largestTerms = 0, sum = 0;
            for (int t = start; t < end; t++)
            {
                double dot = 0, terms = 0;
                int row = (t * kvHeads + kvHead) * dim;
                for (int d = 0; d < dim; d++)
                {
                    double product = (double)query[h * dim + d] * keys[row + d];
                    dot += product;
                    terms += Math.Abs(product);
                }

                scores[t - start] = dot * scale;
                largest = Math.Max(largest, dot * scale);
                largestTerms = Math.Max(largestTerms, terms * scale);
            }

            var weighted = new double[dim];
            for (int t = start; t < end; t++)
            {
                double p = Math.Exp(scores[t - start] - largest);
                sum += p;
                int row = (t * kvHeads + kvHead) * dim;
                for (int d = 0; d < dim; d++)
                {
                    output[h * dim + d] += p * values[row + d];
                    weighted[d] += p * Math.Abs(values[row + d]);
                }
            }

            double weightError = Math.Exp((dim + 16) * U * largestTerms) - 1, chain = (2.0 * (end - start) + 8) * U;
            for (int d = 0; d < dim && sum > 0; d++)
            {
                output[h * dim + d] /= sum;
                outputBound[h * dim + d] = (2 * weightError + 2 * chain + 8 * U) * weighted[d] / sum;
            }

            logSumExp[h] = sum > 0 ? largest + Math.Log(sum) : double.NegativeInfinity;
            logSumExpBound[h] = weightError + chain + 4 * U * (1 + Math.Abs(sum > 0 ? logSumExp[h] : 0));
        }

        return new AttentionOracle { Output = output, OutputBound = outputBound, LogSumExp = logSumExp, LogSumExpBound = logSumExpBound };
    }

    /// <summary>Fails unless a result is within <paramref name="factor"/> bounds.</summary>
    public void Check(ReadOnlySpan<float> output, ReadOnlySpan<float> logSumExp, string what, double factor = 1)
    {
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

    static float DecodeOne(ReadOnlySpan<byte> row, int d, ElementType type) => type switch
    {
        ElementType.Float32 => BitConverter.ToSingle(row[(4 * d)..]),
        ElementType.Float16 => (float)BitConverter.ToHalf(row[(2 * d)..]),
        ElementType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(row[(2 * d)..]) << 16),
        ElementType.Fp8E4M3 => DecodeE4M3(row[d]),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    static float DecodeE4M3(byte code)
    {
        int exponent = (code >> 3) & 15, mantissa = code & 7;
        double magnitude = (code & 0x7F) == 0x7F ? double.NaN
            : exponent == 0 ? mantissa * Math.Pow(2, -9)
            : (8 + mantissa) * Math.Pow(2, exponent - 10);
        return (float)(code >= 128 ? -magnitude : magnitude);
    }
}
