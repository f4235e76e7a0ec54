using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace KvHandoff.Numerics;

public static partial class RowScaledPacking
{
    /// <summary>
    /// The largest magnitude among the finite elements of each row, and what else there was. The definition; bulk loops come
    /// here for a tile that is not all finite.
    /// </summary>
    internal static PackFlags FiniteMagnitudes<TElement>(PackingRows rows, Span<float> largest)
        where TElement : IRowElement
    {
        PackFlags flags = PackFlags.None;
        for (int row = 0; row < rows.Count; row++)
        {
            uint amax = 0;
            for (int i = 0; i < rows.Length; i++)
            {
                uint magnitude = SingleAt<TElement>(rows.Bytes, (row * rows.StrideBytes) + (i * TElement.SizeBytes)) & NarrowFloat.SingleMagnitude;
                if (magnitude < NarrowFloat.SingleInfinity)
                    amax = Math.Max(amax, magnitude);
                else
                    flags |= magnitude == NarrowFloat.SingleInfinity ? PackFlags.HadInfinity : PackFlags.HadNaN;
            }

            largest[row] = BitConverter.UInt32BitsToSingle(amax);
        }

        return flags;
    }

    /// <summary>Codes of the elements at <paramref name="offsetBytes"/>.</summary>
    internal static void PackScalar<TElement, TCode>(ReadOnlySpan<byte> source, int offsetBytes, float inverse, Span<byte> codes)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        for (int i = 0; i < codes.Length; i++)
        {
            uint single = SingleAt<TElement>(source, offsetBytes + (i * TElement.SizeBytes));
            codes[i] = (byte)TCode.EncodeOne(BitConverter.SingleToUInt32Bits(BitConverter.UInt32BitsToSingle(single) * inverse));
        }
    }

    /// <summary>Numbers of codes, to <paramref name="offsetBytes"/>.</summary>
    internal static void UnpackScalar<TElement, TCode>(ReadOnlySpan<byte> codes, float scale, Span<byte> destination, int offsetBytes)
        where TElement : IRowElement
        where TCode : IPackedCode
    {
        for (int i = 0; i < codes.Length; i++)
        {
            float value = BitConverter.UInt32BitsToSingle(TCode.DecodeOne(codes[i])) * scale;
            uint element = TElement.Narrow(BitConverter.SingleToUInt32Bits(value));
            Span<byte> place = destination[(offsetBytes + (i * TElement.SizeBytes))..];
            if (TElement.SizeBytes == 2)
                BinaryPrimitives.WriteUInt16LittleEndian(place, (ushort)element);
            else
                BinaryPrimitives.WriteUInt32LittleEndian(place, element);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static uint SingleAt<TElement>(ReadOnlySpan<byte> source, int offsetBytes)
        where TElement : IRowElement =>
        TElement.Widen(TElement.SizeBytes == 2
            ? BinaryPrimitives.ReadUInt16LittleEndian(source[offsetBytes..])
            : BinaryPrimitives.ReadUInt32LittleEndian(source[offsetBytes..]));
}
