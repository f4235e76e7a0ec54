using System.Buffers.Binary;

namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    /// <summary>Encodes the channels from <paramref name="channel"/>, a multiple of eight, to the end of one row.</summary>
    /// <param name="row">The whole row, 2 bytes a channel.</param>
    /// <param name="channel">First channel to encode.</param>
    /// <param name="bases">Base exponents of the row's channels.</param>
    /// <param name="largest">Raised to the exponents met.</param>
    /// <param name="encodedRow">Codes and sign-mantissas of the whole row.</param>
    /// <param name="escape">Escapes of the tile, as many as there may be.</param>
    /// <param name="escapes">Escapes so far.</param>
    /// <returns>Escapes now; at most the length of <paramref name="escape"/>, which means that the tile is not worth a window.</returns>
    internal static int EncodeRowScalar(
        ReadOnlySpan<byte> row, int channel, ReadOnlySpan<byte> bases, Span<byte> largest, Span<byte> encodedRow, Span<byte> escape, int escapes)
    {
        int dim = bases.Length;
        Span<byte> signMantissa = encodedRow[(encodedRow.Length - dim)..];
        for (int first = channel; first < dim; first += 8)
        {
            uint codes = 0;
            int end = Math.Min(first + 8, dim);
            for (int c = first; c < end; c++)
            {
                ushort value = BinaryPrimitives.ReadUInt16LittleEndian(row[(sizeof(ushort) * c)..]);
                byte exponent = (byte)(value >> 7);
                signMantissa[c] = (byte)((value << 1) | (value >> 15));
                int code = Math.Min((bases[c] - exponent) & 0xFF, EscapeCode);
                codes |= (uint)code << (3 * (c - first));
                largest[c] = Math.Max(largest[c], exponent);
                if (code != EscapeCode) continue;
                if (escapes == escape.Length) return escapes;
                escape[escapes++] = exponent;
            }

            WriteCodes(codes, encodedRow[(first / 8 * 3)..]);
        }

        return escapes;
    }

    /// <summary>Decodes the channels from <paramref name="channel"/>, a multiple of eight, to the end of one row.</summary>
    /// <param name="encodedRow">Codes and sign-mantissas of the whole row.</param>
    /// <param name="channel">First channel to decode.</param>
    /// <param name="bases">Base exponents of the row's channels.</param>
    /// <param name="escape">Escapes of the tile.</param>
    /// <param name="used">Escapes used so far.</param>
    /// <param name="row">The whole row, 2 bytes a channel.</param>
    /// <returns>Escapes that the codes have marked so far, those beyond the end included.</returns>
    internal static int DecodeRowScalar(
        ReadOnlySpan<byte> encodedRow, int channel, ReadOnlySpan<byte> bases, ReadOnlySpan<byte> escape, int used, Span<byte> row)
    {
        int dim = bases.Length;
        ReadOnlySpan<byte> signMantissa = encodedRow[(encodedRow.Length - dim)..];
        for (int first = channel; first < dim; first += 8)
        {
            uint codes = ReadCodes(encodedRow[(first / 8 * 3)..]);
            int end = Math.Min(first + 8, dim);
            for (int c = first; c < end; c++, codes >>= 3)
            {
                int code = (int)codes & EscapeCode;
                int exponent = (byte)(bases[c] - code);
                if (code == EscapeCode)
                {
                    exponent = used < escape.Length ? escape[used] : 0;
                    used++;
                }

                int value = (signMantissa[c] << 15) | (exponent << 7) | (signMantissa[c] >> 1);
                BinaryPrimitives.WriteUInt16LittleEndian(row[(sizeof(ushort) * c)..], (ushort)value);
            }
        }

        return used;
    }

    /// <summary>Raises every byte of <paramref name="largest"/> to the exponent of its channel in one row.</summary>
    internal static void RaiseScalar(ReadOnlySpan<byte> row, int channel, Span<byte> largest)
    {
        for (int c = channel; c < largest.Length; c++)
        {
            byte exponent = (byte)(BinaryPrimitives.ReadUInt16LittleEndian(row[(sizeof(ushort) * c)..]) >> 7);
            largest[c] = Math.Max(largest[c], exponent);
        }
    }

    static void WriteCodes(uint codes, Span<byte> destination)
    {
        destination[2] = (byte)(codes >> 16);
        destination[1] = (byte)(codes >> 8);
        destination[0] = (byte)codes;
    }

    static uint ReadCodes(ReadOnlySpan<byte> source) => source[0] | ((uint)source[1] << 8) | ((uint)source[2] << 16);
}
