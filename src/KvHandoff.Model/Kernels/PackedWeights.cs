using System.Runtime.InteropServices;
using KvHandoff.Memory;

namespace KvHandoff.Model.Kernels;

/// <summary>
/// A weight matrix as fp32 <c>[panel][depth][16 columns]</c>, the last panel padded with zeros, so that a product reads it as one stream.
/// Lies in a slab that all matrices of a model share. Immutable after packing.
/// </summary>
internal sealed class PackedWeights
{
    private const int ColumnsPerPanel = PanelProduct.PanelColumns;
    private readonly MemoryRegion _region;
    private readonly long _offsetBytes;
    private readonly int _lengthBytes;

    private PackedWeights(MemoryRegion region, long offsetBytes, int depth, int columns)
    {
        _region = region;
        _offsetBytes = offsetBytes;
        _lengthBytes = (int)RequiredBytes(depth, columns);
        Depth = depth;
        Columns = columns;
    }

    /// <summary>Inputs of the projection.</summary>
    internal int Depth { get; }

    /// <summary>Outputs of the projection.</summary>
    internal int Columns { get; }

    /// <summary>The panels.</summary>
    internal ReadOnlySpan<float> Panels => MemoryMarshal.Cast<byte, float>(_region.Span(_offsetBytes, _lengthBytes));

    /// <summary>Bytes that a matrix takes in the slab.</summary>
    internal static long RequiredBytes(int depth, int columns) =>
        checked((columns + ColumnsPerPanel - 1L) / ColumnsPerPanel * ColumnsPerPanel * depth * sizeof(float));

    /// <summary>Packs <paramref name="weights"/>, <c>[output][input]</c> as checkpoints have it, at <paramref name="offsetBytes"/> of the slab.</summary>
    internal static PackedWeights Pack(ReadOnlySpan<float> weights, int outputs, int inputs, MemoryRegion slab, ref long offsetBytes)
    {
        var packed = new PackedWeights(slab, offsetBytes, inputs, outputs);
        Span<float> panels = MemoryMarshal.Cast<byte, float>(slab.Span(offsetBytes, packed._lengthBytes));
        for (int output = 0; output < outputs; output++)
        {
            ReadOnlySpan<float> row = weights.Slice(output * inputs, inputs);
            int at = output / ColumnsPerPanel * inputs * ColumnsPerPanel + output % ColumnsPerPanel;
            foreach (float weight in row)
            {
                panels[at] = weight;
                at += ColumnsPerPanel;
            }
        }

        offsetBytes += packed._lengthBytes;
        return packed;
    }
}
