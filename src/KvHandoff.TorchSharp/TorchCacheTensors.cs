using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using TorchSharp;
using static TorchSharp.torch;

namespace KvHandoff.TorchSharp;

/// <summary>Tensors from the blocks of a cache, and back into them. Rows are copied once, straight between block and tensor.</summary>
/// <remarks>
/// TorchSharp has no 8-bit floats and no views of foreign memory, so packed rows are decoded here and a tensor never aliases a block.
/// Thread-safe for different sequences, and for reading one from several threads.
/// </remarks>
public static class TorchCacheTensors
{
    /// <summary>The rows of one plane of a layer, in whatever form and order they are stored, the tail included.</summary>
    /// <param name="view">The layer of the sequence.</param>
    /// <param name="plane">K or V; a latent group has K only.</param>
    /// <param name="type">Type of the tensor: BF16, FP16 or FP32. Exact where it holds every stored number.</param>
    /// <returns><c>[kvHeads][tokens][dim]</c>, contiguous; it belongs to the caller or its dispose scope.</returns>
    /// <exception cref="ArgumentException">The type is another, or the group has no such plane.</exception>
    public static Tensor Read(in KvLayerView view, KvPlane plane, ElementType type)
    {
        LayerGroup group = view.Group;
        if ((int)plane >= group.Planes) throw new ArgumentException($"A group of kind {group.Kind} has no plane {plane}.", nameof(plane));
        Tensor rows = empty(new long[] { group.KvHeads, view.Tokens, group.HeadDim }, TensorType(type));
        int rowBytes = group.HeadDim * type.SizeBytes();
        for (int head = 0; head < group.KvHeads && view.Tokens > 0; head++)
        {
            // Head by head: a span over all heads could exceed 2 GiB.
            using Tensor slice = rows[head];
            StoredRows.Unpack(view, head, plane, 0, new RowRuns(slice.bytes, rowBytes), type);
        }

        return rows;
    }

    /// <summary>Writes rows of one layer, converting or packing them to the cache's form as <see cref="KvSequence.WriteRows"/> does.</summary>
    /// <param name="sequence">The sequence, with room reserved; the caller advances it when all layers are written.</param>
    /// <param name="layer">Model layer.</param>
    /// <param name="start">First token.</param>
    /// <param name="keys"><c>[kvHeads][tokens][dim]</c> of any floating-point type, already rotated.</param>
    /// <param name="values">Same shape; null for a latent layer.</param>
    /// <exception cref="ArgumentException">A shape does not fit the layer, or the tokens are not reserved; the message names both.</exception>
    public static void Write(KvSequence sequence, int layer, int start, Tensor keys, Tensor? values)
    {
        LayerGroup group = sequence.Cache.Layout.Group(layer);
        if ((values is null) != (group.Planes == 1))
            throw new ArgumentException($"Layer {layer} is of kind {group.Kind}, which {(group.Planes == 1 ? "takes no" : "needs")} values.", nameof(values));
        RequireRows(group, layer, keys, nameof(keys));
        if (values is not null) RequireRows(group, layer, values, nameof(values));
        using DisposeScope scope = NewDisposeScope();
        sequence.WriteRows(layer, start, TokenMajor(keys), values is null ? default : TokenMajor(values));
    }

    private static ReadOnlySpan<float> TokenMajor(Tensor rows) =>
        MemoryMarshal.Cast<byte, float>(rows.transpose(0, 1).to_type(ScalarType.Float32).contiguous().bytes);

    private static void RequireRows(LayerGroup group, int layer, Tensor rows, string name)
    {
        long[] shape = rows.shape;
        if (shape.Length != 3 || shape[0] != group.KvHeads || shape[2] != group.HeadDim)
            throw new ArgumentException($"The tensor is [{string.Join("][", shape)}]; layer {layer} takes [{group.KvHeads}][tokens][{group.HeadDim}].", name);
    }

    private static ScalarType TensorType(ElementType type) => type switch
    {
        ElementType.Float32 => ScalarType.Float32,
        ElementType.Float16 => ScalarType.Float16,
        ElementType.BFloat16 => ScalarType.BFloat16,
        _ => throw new ArgumentException($"A tensor of {type.Name()} was asked for; allowed: fp32, fp16 and bf16.", nameof(type)),
    };
}
