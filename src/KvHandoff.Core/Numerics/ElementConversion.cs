using System.Runtime.InteropServices;

namespace KvHandoff.Numerics;

/// <summary>
/// Bulk conversion between element formats. Every overload gives the bits of the scalar conversion (the casts of
/// <see cref="BFloat16"/>, <see cref="Fp8E4M3"/> and <see cref="Fp8E5M2"/>) on every instruction set.
/// </summary>
/// <remarks>
/// <para>Narrowing rounds to nearest, ties to even. FP8 saturates; binary16 and BF16 overflow to infinity as IEEE 754 says.
/// A NaN stays a NaN of its sign; binary16 and BF16 keep its upper payload bits and make it quiet. The platform's own
/// cast to <see cref="Half"/> agrees but for NaN payloads.</para>
/// <para>The destination may be longer than the source; what lies behind the last result is not touched. Where the two
/// overlap in memory the result is unspecified. Thread-safe; nothing is allocated.</para>
/// </remarks>
public static partial class ElementConversion
{
    // Numbers that a conversion between two narrow formats holds on the stack at a time.
    const int StagingElements = 512;

    /// <summary>Widens BF16; exact, NaN bits included.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void ToSingle(ReadOnlySpan<BFloat16> source, Span<float> destination) =>
        Widen<BFloat16, BFloat16Operator>(source, destination);

    /// <summary>Widens binary16; exact.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void ToSingle(ReadOnlySpan<Half> source, Span<float> destination) =>
        Widen<Half, HalfOperator>(source, destination);

    /// <summary>Widens FP8 E4M3; exact.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void ToSingle(ReadOnlySpan<Fp8E4M3> source, Span<float> destination) =>
        Widen<Fp8E4M3, Fp8E4M3Operator>(source, destination);

    /// <summary>Widens FP8 E5M2; exact.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void ToSingle(ReadOnlySpan<Fp8E5M2> source, Span<float> destination) =>
        Widen<Fp8E5M2, Fp8E5M2Operator>(source, destination);

    /// <summary>Rounds to BF16.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void FromSingle(ReadOnlySpan<float> source, Span<BFloat16> destination) =>
        Narrow<BFloat16, BFloat16Operator>(source, destination);

    /// <summary>Rounds to binary16.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void FromSingle(ReadOnlySpan<float> source, Span<Half> destination) =>
        Narrow<Half, HalfOperator>(source, destination);

    /// <summary>Rounds to FP8 E4M3, saturating at +-448.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void FromSingle(ReadOnlySpan<float> source, Span<Fp8E4M3> destination) =>
        Narrow<Fp8E4M3, Fp8E4M3Operator>(source, destination);

    /// <summary>Rounds to FP8 E5M2, saturating at +-57344.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than the source.</exception>
    public static void FromSingle(ReadOnlySpan<float> source, Span<Fp8E5M2> destination) =>
        Narrow<Fp8E5M2, Fp8E5M2Operator>(source, destination);

    /// <summary>
    /// Converts the bytes of one floating-point format to another, rounding at most once. Equal formats are copied bit for
    /// bit. The spans need no alignment.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">A format is unknown, or is int8, whose numbers need a scale.</exception>
    /// <exception cref="ArgumentException">The source is not a whole number of elements, or the destination is too short.</exception>
    public static void Convert(ReadOnlySpan<byte> source, ElementType from, Span<byte> destination, ElementType to)
    {
        int fromBytes = UnscaledSizeBytes(from, nameof(from));
        int toBytes = UnscaledSizeBytes(to, nameof(to));
        if (source.Length % fromBytes != 0)
            throw new ArgumentException($"{source.Length} source bytes are no whole number of {from.Name()} elements.", nameof(source));

        int count = source.Length / fromBytes;
        if (destination.Length / toBytes < count)
        {
            throw new ArgumentException(
                $"{count} elements of {to.Name()} take {(long)count * toBytes} bytes; the destination has {destination.Length}.",
                nameof(destination));
        }

        destination = destination[..(count * toBytes)];
        if (from == to)
            source.CopyTo(destination);
        else if (from == ElementType.Float32)
            Narrow(MemoryMarshal.Cast<byte, float>(source), destination, to);
        else if (to == ElementType.Float32)
            Widen(source, from, MemoryMarshal.Cast<byte, float>(destination));
        else
            ConvertStaged(source, from, fromBytes, destination, to, toBytes);
    }

    static void ConvertStaged(
        ReadOnlySpan<byte> source, ElementType from, int fromBytes, Span<byte> destination, ElementType to, int toBytes)
    {
        Span<float> staging = stackalloc float[StagingElements];
        while (!source.IsEmpty)
        {
            int count = Math.Min(StagingElements, source.Length / fromBytes);
            Widen(source[..(count * fromBytes)], from, staging);
            Narrow(staging[..count], destination, to);
            source = source[(count * fromBytes)..];
            destination = destination[(count * toBytes)..];
        }
    }

    static void Widen(ReadOnlySpan<byte> source, ElementType from, Span<float> destination)
    {
        switch (from)
        {
            case ElementType.Float16:
                ToSingle(MemoryMarshal.Cast<byte, Half>(source), destination);
                break;
            case ElementType.BFloat16:
                ToSingle(MemoryMarshal.Cast<byte, BFloat16>(source), destination);
                break;
            case ElementType.Fp8E4M3:
                ToSingle(MemoryMarshal.Cast<byte, Fp8E4M3>(source), destination);
                break;
            default:
                ToSingle(MemoryMarshal.Cast<byte, Fp8E5M2>(source), destination);
                break;
        }
    }

    static void Narrow(ReadOnlySpan<float> source, Span<byte> destination, ElementType to)
    {
        switch (to)
        {
            case ElementType.Float16:
                FromSingle(source, MemoryMarshal.Cast<byte, Half>(destination));
                break;
            case ElementType.BFloat16:
                FromSingle(source, MemoryMarshal.Cast<byte, BFloat16>(destination));
                break;
            case ElementType.Fp8E4M3:
                FromSingle(source, MemoryMarshal.Cast<byte, Fp8E4M3>(destination));
                break;
            default:
                FromSingle(source, MemoryMarshal.Cast<byte, Fp8E5M2>(destination));
                break;
        }
    }

    static void Widen<T, TOperator>(ReadOnlySpan<T> source, Span<float> destination)
        where T : unmanaged
        where TOperator : IElementOperator
    {
        RequireRoom(source.Length, destination.Length);
        int done = WidenVectors<T, TOperator>(source, destination);
        WidenScalar<T, TOperator>(source[done..], destination[done..]);
    }

    static void Narrow<T, TOperator>(ReadOnlySpan<float> source, Span<T> destination)
        where T : unmanaged
        where TOperator : IElementOperator
    {
        RequireRoom(source.Length, destination.Length);
        int done = NarrowVectors<T, TOperator>(source, destination);
        NarrowScalar<T, TOperator>(source[done..], destination[done..]);
    }

    static void RequireRoom(int source, int destination)
    {
        if (destination < source)
            throw new ArgumentException($"The destination holds {destination} elements, the source has {source}.", nameof(destination));
    }

    static int UnscaledSizeBytes(ElementType type, string parameter)
    {
        if (!type.IsDefined() || type == ElementType.Int8)
        {
            throw new ArgumentOutOfRangeException(
                parameter, type, $"Element type {(byte)type} is no floating-point format; int8 needs a scale.");
        }

        return type.SizeBytes();
    }
}
