using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>One decode step's attention over one layer: 64 query heads on 8 kv heads of 128.</summary>
internal sealed class AttentionWorkload : KernelWorkload
{
    internal const int QueryHeads = 64, KvHeads = 8, HeadDim = 128, MemoryTokens = 65536;

    private const int CacheTokens = 64;
    private const double Tolerance = 2e-4;

    private readonly BlockRows _blocks;
    private readonly float[] _query, _output, _logSumExp = new float[QueryHeads];

    internal AttentionWorkload(KernelBuffers buffers, KernelSize size, Func<LayerGroup, LayerGroup> stored)
    {
        (LayerGroup group, int tokens) = Shaped(size, stored);
        _blocks = new BlockRows(buffers, group, tokens);
        _query = new float[QueryHeads * group.HeadDim];
        _output = new float[_query.Length];
        var random = new Random(7);
        foreach (ref float x in _query.AsSpan()) x = (float)(random.NextDouble() - 0.5);
        Limits = [KernelBuffers.Read(buffers.Codes, BytesOf(size, stored))];
    }

    /// <summary>Bytes of the cache that one step reads.</summary>
    internal static long BytesOf(KernelSize size, Func<LayerGroup, LayerGroup> stored)
    {
        (LayerGroup group, int tokens) = Shaped(size, stored);
        return BlockRows.LayoutOf(group).BytesForTokens(tokens);
    }

    internal override IReadOnlyList<KernelLimit> Limits { get; }

    internal override void Run() => PagedDecodeAttention.Run(_blocks.Sequence.View(0), QueryHeads, _query, default, _output, _logSumExp);

    internal override string? Check()
    {
        Run();
        // One query head in double precision, straight from the definition.
        KvLayerView view = _blocks.Sequence.View(0);
        int dim = view.Group.HeadDim, rowBytes = dim * sizeof(float);
        byte[] keys = new byte[view.Tokens * rowBytes], values = new byte[keys.Length];
        StoredRows.Unpack(view, 0, KvPlane.Key, 0, new RowRuns(keys, rowBytes), ElementType.Float32);
        StoredRows.Unpack(view, 0, KvPlane.Value, 0, new RowRuns(values, rowBytes), ElementType.Float32);
        ReadOnlySpan<float> k = MemoryMarshal.Cast<byte, float>(keys), v = MemoryMarshal.Cast<byte, float>(values);
        var weights = new double[view.Tokens];
        for (int t = 0; t < weights.Length; t++)
        {
            for (int c = 0; c < dim; c++) weights[t] += (double)_query[c] * k[t * dim + c] / Math.Sqrt(dim);
        }

        double max = weights.Max(), sum = 0;
        var expected = new double[dim];
        for (int t = 0; t < weights.Length; t++)
        {
            double weight = Math.Exp(weights[t] - max);
            sum += weight;
            for (int c = 0; c < dim; c++) expected[c] += weight * v[t * dim + c];
        }

        for (int c = 0; c < dim; c++)
        {
            if (!(Math.Abs(_output[c] - expected[c] / sum) <= Tolerance)) return $"Attention's output {c} is {_output[c]}; in double precision it is {expected[c] / sum}.";
        }

        return null;
    }

    public override void Dispose() => _blocks.Dispose();

    private static (LayerGroup Group, int Tokens) Shaped(KernelSize size, Func<LayerGroup, LayerGroup> stored)
    {
        KernelShape odd = KernelShape.Of(KernelSize.Odd, HeadDim, anyHeadDim: true);
        var group = new LayerGroup { Layers = [0], KvHeads = KvHeads, HeadDim = size == KernelSize.Odd ? odd.HeadDim : HeadDim };
        return (stored(group), size switch { KernelSize.Memory => MemoryTokens, KernelSize.Cache => CacheTokens, _ => odd.Tokens });
    }
}
