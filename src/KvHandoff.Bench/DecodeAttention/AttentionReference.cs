using System.Runtime.InteropServices;
using KvHandoff.Bench.Kernels;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>The outputs of a few query heads in double precision, straight from the definition.</summary>
/// <param name="Heads">Which query heads.</param>
/// <param name="Outputs">Their outputs.</param>
internal sealed record AttentionReference(int[] Heads, double[][] Outputs)
{
    /// <summary>Over the rows as the cache holds them: 8-bit rows as they are decoded.</summary>
    internal static AttentionReference OfStored(AttentionCase what, BlockRows rows) => Of(what, (head, plane) =>
    {
        KvLayerView view = rows.Sequence.View(0, what.Tokens);
        var values = new float[what.Tokens * view.Group.HeadDim];
        Span<byte> bytes = MemoryMarshal.AsBytes(values.AsSpan());
        StoredRows.Unpack(view, head, plane, 0, new RowRuns(bytes, view.Group.HeadDim * sizeof(float)), ElementType.Float32);
        return values;
    });

    /// <summary>Over the BF16 rows that the cache was filled with.</summary>
    /// <param name="what">The step.</param>
    /// <param name="buffers">Where the rows lie.</param>
    /// <param name="rowTokens">Tokens that the cache was filled with.</param>
    internal static AttentionReference OfSource(AttentionCase what, KernelBuffers buffers, int rowTokens) => Of(what, (head, plane) =>
    {
        int elements = what.Shape.RowElements;
        var values = new float[what.Tokens * elements];
        ReadOnlySpan<byte> rows = BlockRows.Source(buffers, what.Shape.Group, plane, rowTokens).Span((long)head * rowTokens * elements * sizeof(ushort), values.Length * sizeof(ushort));
        ElementConversion.ToSingle(MemoryMarshal.Cast<byte, BFloat16>(rows), values);
        return values;
    });

    /// <summary>Largest difference of an output from these, relative to the largest magnitude of theirs; NaN where an output is.</summary>
    internal double Error(ReadOnlySpan<float> output)
    {
        double largest = Outputs.Max(o => o.Max(Math.Abs)), error = 0;
        for (int i = 0; i < Heads.Length; i++)
        {
            double[] expected = Outputs[i];
            ReadOnlySpan<float> found = output.Slice(Heads[i] * expected.Length, expected.Length);
            for (int c = 0; c < expected.Length; c++) error = Math.Max(error, Math.Abs(found[c] - expected[c]));
        }

        return error / largest;
    }

    // The first, one in the middle, the last.
    private static AttentionReference Of(AttentionCase what, Func<int, KvPlane, float[]> rows)
    {
        AttentionShape shape = what.Shape;
        int[] heads = [0, shape.QueryHeads / 2 + 1, shape.QueryHeads - 1];
        float[] query = AttentionStep.QueryOf(shape);
        var outputs = new double[heads.Length][];
        Parallel.For(0, heads.Length, i =>
        {
            int kvHead = heads[i] / (shape.QueryHeads / shape.KvHeads);
            float[] keys = rows(kvHead, KvPlane.Key), values = shape.IsLatent ? keys : rows(kvHead, KvPlane.Value);
            outputs[i] = Attend(query.AsSpan(heads[i] * shape.RowElements, shape.RowElements), keys, values, shape);
        });
        return new AttentionReference(heads, outputs);
    }

    private static double[] Attend(ReadOnlySpan<float> query, float[] keys, float[] values, AttentionShape shape)
    {
        int elements = shape.RowElements, tokens = keys.Length / elements;
        var weights = new double[tokens];
        for (int t = 0; t < tokens; t++)
        {
            double sum = 0;
            ReadOnlySpan<float> key = keys.AsSpan(t * elements, elements);
            for (int c = 0; c < key.Length; c++) sum += (double)query[c] * key[c];
            weights[t] = sum * shape.SoftmaxScale;
        }

        double largest = weights.Max(), total = 0;
        var output = new double[shape.ValueElements];
        for (int t = 0; t < tokens; t++)
        {
            double weight = Math.Exp(weights[t] - largest);
            total += weight;
            ReadOnlySpan<float> value = values.AsSpan(t * elements, output.Length);
            for (int c = 0; c < value.Length; c++) output[c] += weight * value[c];
        }

        for (int c = 0; c < output.Length; c++) output[c] /= total;
        return output;
    }
}
