using System.Buffers.Binary;
using System.Security.Cryptography;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// Queries that follow from a handoff's id: block c of 32 bytes is <c>SHA-256(id || layer || head || c)</c> (id big-endian, numbers u32 little-endian), and
/// each 8 bytes of it give a number of mean 0 and variance 1: the sum of their four u16, less 131,070, times sqrt(3) / 65,536.
/// </summary>
internal static class SeededQuery
{
    // Standard deviation of the logits: about a third of the tokens share the weight.
    private const double LogitDeviation = 1;

    // Granules that the magnitude is taken from.
    private const int SampledGranules = 16;

    private const int LeastExponent = -100, MostExponent = 100;

    /// <summary>The query: a number of variance 1, over the magnitude of the keys in this element, times the factor.</summary>
    internal static float[] Derive(Guid handoffId, int layer, int head, float factor, ReadOnlySpan<sbyte> exponents)
    {
        float[] query = Normals(handoffId, layer, head, exponents.Length);
        for (int d = 0; d < query.Length; d++) query[d] = MathF.ScaleB(query[d], -exponents[d]) * factor;
        return query;
    }

    /// <summary>Magnitude of the keys per element, and the factor that gives logits of a standard deviation of 1 with a softmax scale.</summary>
    internal static (float Factor, sbyte[] Exponents) Fit(in KvLayerView view, int localHead, int firstToken, int endToken, float softmaxScale, Guid handoffId, int layer, int head)
    {
        float[] keys = Sample(view, localHead, firstToken, endToken, out int rows);
        int dim = view.Group.HeadDim;
        var exponents = new sbyte[dim];
        for (int d = 0; d < dim; d++)
        {
            double sum = 0;
            for (int r = 0; r < rows; r++) sum += (double)keys[r * dim + d] * keys[r * dim + d];
            double magnitude = Math.Sqrt(sum / rows);
            exponents[d] = double.IsFinite(magnitude) && magnitude > 0 ? (sbyte)Math.Clamp(Math.Round(Math.Log2(magnitude)), LeastExponent, MostExponent) : (sbyte)0;
        }

        float[] query = Derive(handoffId, layer, head, 1, exponents);
        double mean = 0, square = 0;
        for (int r = 0; r < rows; r++)
        {
            double logit = 0;
            for (int d = 0; d < dim; d++) logit += (double)query[d] * keys[r * dim + d];
            logit *= softmaxScale;
            mean += logit / rows;
            square += logit * logit / rows;
        }

        double deviation = Math.Sqrt(Math.Max(0, square - mean * mean));
        // One token, or equal ones: every softmax is the same, and so is every factor.
        float factor = double.IsFinite(deviation) && deviation > 1e-3 ? (float)(LogitDeviation / deviation) : 1;
        return (factor, exponents);
    }

    private static float[] Normals(Guid handoffId, int layer, int head, int count)
    {
        Span<byte> seed = stackalloc byte[28], block = stackalloc byte[SHA256.HashSizeInBytes];
        handoffId.TryWriteBytes(seed, bigEndian: true, out _);
        BinaryPrimitives.WriteInt32LittleEndian(seed[16..], layer);
        BinaryPrimitives.WriteInt32LittleEndian(seed[20..], head);
        var numbers = new float[count];
        for (int i = 0; i < count; i++)
        {
            int within = i % 4 * 8;
            if (within == 0)
            {
                BinaryPrimitives.WriteInt32LittleEndian(seed[24..], i / 4);
                SHA256.HashData(seed, block);
            }

            int sum = 0;
            for (int part = 0; part < 4; part++) sum += BinaryPrimitives.ReadUInt16LittleEndian(block[(within + 2 * part)..]);
            numbers[i] = (sum - 131_070) * (1.7320508f / 65_536);
        }

        return numbers;
    }

    // Runs of at most 64 tokens, evenly spread.
    private static float[] Sample(in KvLayerView view, int head, int firstToken, int endToken, out int rows)
    {
        int dim = view.Group.HeadDim, granules = KvSegment.GranuleCount(endToken - firstToken), taken = Math.Min(granules, SampledGranules);
        var keys = new float[taken * KvSegment.GranuleTokens * dim];
        rows = 0;
        for (int i = 0; i < taken; i++)
        {
            int start = firstToken + (int)((long)i * granules / taken) * KvSegment.GranuleTokens, count = Math.Min(KvSegment.GranuleTokens, endToken - start);
            CanaryRows.Read(view, head, start, keys.AsSpan(rows * dim, count * dim));
            rows += count;
        }

        return keys;
    }
}
