using System.Collections.Immutable;
using KvHandoff.Numerics;

namespace KvHandoff.Model.Checkpoint;

/// <summary>One tensor of a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ElementType">BF16, F16 or F32.</param>
/// <param name="Shape">Dimensions, outermost first; the elements are row-major.</param>
/// <param name="OffsetBytes">Where its bytes start, from the start of the file.</param>
/// <param name="LengthBytes">How many there are: elements x element size.</param>
public sealed record TensorEntry(string Name, ElementType ElementType, ImmutableArray<long> Shape, long OffsetBytes, long LengthBytes)
{
    /// <summary>Elements in all.</summary>
    public long Elements => LengthBytes / ElementType.SizeBytes();

    /// <summary>The shape for people, such as <c>[256, 512]</c>.</summary>
    public string ShapeText => Text(Shape.AsSpan());

    internal static string Text(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";
}
