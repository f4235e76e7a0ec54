using System.Runtime.InteropServices;

namespace KvHandoff.Numerics;

public static partial class ElementConversion
{
    /// <summary>The definition of widening, and the tail of the vectorised form.</summary>
    internal static void WidenScalar<T, TOperator>(ReadOnlySpan<T> source, Span<float> destination)
        where T : unmanaged
        where TOperator : IElementOperator
    {
        Span<uint> bits = MemoryMarshal.Cast<float, uint>(destination);
        if (TOperator.SizeBytes == 1)
        {
            ReadOnlySpan<byte> codes = MemoryMarshal.Cast<T, byte>(source);
            for (int i = 0; i < codes.Length; i++)
                bits[i] = TOperator.DecodeOne(codes[i]);
        }
        else
        {
            ReadOnlySpan<ushort> codes = MemoryMarshal.Cast<T, ushort>(source);
            for (int i = 0; i < codes.Length; i++)
                bits[i] = TOperator.DecodeOne(codes[i]);
        }
    }

    /// <summary>The definition of narrowing, and the tail of the vectorised form.</summary>
    internal static void NarrowScalar<T, TOperator>(ReadOnlySpan<float> source, Span<T> destination)
        where T : unmanaged
        where TOperator : IElementOperator
    {
        // Bits, not floats: a signalling NaN must not pass through a floating-point register that quiets it.
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(source);
        if (TOperator.SizeBytes == 1)
        {
            Span<byte> codes = MemoryMarshal.Cast<T, byte>(destination);
            for (int i = 0; i < bits.Length; i++)
                codes[i] = (byte)TOperator.EncodeOne(bits[i]);
        }
        else
        {
            Span<ushort> codes = MemoryMarshal.Cast<T, ushort>(destination);
            for (int i = 0; i < bits.Length; i++)
                codes[i] = (ushort)TOperator.EncodeOne(bits[i]);
        }
    }
}
