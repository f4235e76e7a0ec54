using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

public static partial class Fp8Packing
{
    /// <summary>The scale of a row with this largest magnitude.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static float ScaleOf(float amax) => amax == 0f ? 1f : Math.Max(amax / LargestCode, SmallestScale);

    /// <summary>
    /// The largest magnitude among the finite elements of each row, and what else there was. The definition; bulk loops come
    /// here for a tile that is not all finite.
    /// </summary>
    internal static PackFlags FiniteMagnitudes<T, TRows>(ReadOnlySpan<T> source, int rowLength, Span<float> largest)
        where T : unmanaged
        where TRows : IRowOperator<T>
    {
        PackFlags flags = PackFlags.None;
        for (int row = 0; row < largest.Length; row++)
        {
            uint amax = 0;
            foreach (T element in source.Slice(row * rowLength, rowLength))
            {
                uint magnitude = TRows.SingleBits(element) & NarrowFloat.SingleMagnitude;
                if (magnitude < NarrowFloat.SingleInfinity)
                    amax = Math.Max(amax, magnitude);
                else
                    flags |= magnitude == NarrowFloat.SingleInfinity ? PackFlags.HadInfinity : PackFlags.HadNaN;
            }

            largest[row] = BitConverter.UInt32BitsToSingle(amax);
        }

        return flags;
    }

    /// <summary>Codes of one row or its tail.</summary>
    internal static void PackScalar<T, TRows>(ReadOnlySpan<T> row, float inverse, Span<Fp8E4M3> codes)
        where T : unmanaged
        where TRows : IRowOperator<T>
    {
        for (int i = 0; i < row.Length; i++)
            codes[i] = (Fp8E4M3)(BitConverter.UInt32BitsToSingle(TRows.SingleBits(row[i])) * inverse);
    }

    /// <summary>Numbers of one row or its tail.</summary>
    internal static void UnpackScalar<T, TRows>(ReadOnlySpan<Fp8E4M3> codes, float scale, Span<T> destination)
        where T : unmanaged
        where TRows : IRowOperator<T>
    {
        for (int i = 0; i < codes.Length; i++)
            destination[i] = TRows.FromSingleBits(BitConverter.SingleToUInt32Bits((float)codes[i] * scale));
    }
}
