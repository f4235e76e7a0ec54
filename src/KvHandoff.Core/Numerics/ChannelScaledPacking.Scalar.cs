namespace KvHandoff.Numerics;

public static partial class ChannelScaledPacking
{
    /// <summary>
    /// Raises the magnitudes of as many channels as the span has, from channel <paramref name="first"/> of the rows on. The
    /// definition; bulk loops come here for channels that are not all finite.
    /// </summary>
    internal static PackFlags AccumulateScalar<TElement>(PackingRows rows, int first, Span<float> largest)
        where TElement : IRowElement
    {
        PackFlags flags = PackFlags.None;
        for (int row = 0; row < rows.Count; row++)
        {
            for (int i = 0; i < largest.Length; i++)
            {
                uint magnitude = NarrowFloat.SingleMagnitude
                    & RowScaledPacking.SingleAt<TElement>(rows.Bytes, (row * rows.StrideBytes) + ((first + i) * TElement.SizeBytes));
                if (magnitude < NarrowFloat.SingleInfinity)
                    largest[i] = Math.Max(largest[i], BitConverter.UInt32BitsToSingle(magnitude));
                else
                    flags |= magnitude == NarrowFloat.SingleInfinity ? PackFlags.HadInfinity : PackFlags.HadNaN;
            }
        }

        return flags;
    }

    /// <summary>Codes of the channels from <paramref name="first"/> on.</summary>
    internal static void PackScalar<TElement, TCode>(
        PackingRows rows, int first, ReadOnlySpan<float> inverses, Span<byte> codes, int codeStride)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        for (int row = 0; row < rows.Count; row++)
        {
            for (int i = first; i < rows.Length; i++)
            {
                RowScaledPacking.PackScalar<TElement, TCode>(
                    rows.Bytes,
                    (row * rows.StrideBytes) + (i * TElement.SizeBytes),
                    inverses[i],
                    codes.Slice((row * codeStride) + i, 1));
            }
        }
    }

    /// <summary>Numbers of the channels from <paramref name="first"/> on.</summary>
    internal static void UnpackScalar<TElement, TCode>(
        ReadOnlySpan<byte> codes, int codeStride, int first, ReadOnlySpan<float> scales, PackingRows rows, Span<byte> destination)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        for (int row = 0; row < rows.Count; row++)
        {
            for (int i = first; i < rows.Length; i++)
            {
                RowScaledPacking.UnpackScalar<TElement, TCode>(
                    codes.Slice((row * codeStride) + i, 1),
                    scales[i],
                    destination,
                    (row * rows.StrideBytes) + (i * TElement.SizeBytes));
            }
        }
    }
}
