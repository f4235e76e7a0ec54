using System.Runtime.InteropServices;
using KvHandoff.Codec;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>Tiles to encode, and a reading of the format straight from its description, bit by bit.</summary>
internal static class ExponentWindowSamples
{
    internal static byte[] Bytes(ushort[] values) => MemoryMarshal.AsBytes(values.AsSpan()).ToArray();

    internal static ushort Bits(double value) => (ushort)(BitConverter.SingleToUInt32Bits((float)value) >> 16);

    /// <summary>Channels of different magnitudes, each with a normal distribution, some with a large mean: like keys and values.</summary>
    internal static ushort[] Cache(int tokens, int dim, Random random)
    {
        var values = new ushort[tokens * dim];
        for (int c = 0; c < dim; c++)
        {
            double scale = Math.Exp(Normal(random)), mean = c % 16 == 0 ? 20 * Normal(random) : Normal(random);
            for (int t = 0; t < tokens; t++) values[t * dim + c] = Bits(scale * (mean + Normal(random)));
        }

        return values;
    }

    internal static ushort[] Uniform(int tokens, int dim, Random random)
    {
        var values = new ushort[tokens * dim];
        random.NextBytes(MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    internal static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    internal static byte[] Encode(ReadOnlySpan<byte> rows, int tokens, int dim, Span<byte> history = default)
    {
        var encoded = new byte[ExponentWindow.MaxEncodedBytes(tokens, dim)];
        return encoded[..ExponentWindow.Encode(rows, 2 * dim, tokens, dim, history, encoded)];
    }

    internal static byte[] Decode(ReadOnlySpan<byte> encoded, int tokens, int dim)
    {
        var rows = new byte[2 * tokens * dim];
        Assert.True(ExponentWindow.TryDecode(encoded, tokens, dim, rows, 2 * dim, out string? error), error);
        Assert.Null(error);
        return rows;
    }

    /// <summary>Reads a valid tile as the remarks of <see cref="ExponentWindow"/> describe it.</summary>
    internal static ushort[] ReadAsDescribed(byte[] encoded, int tokens, int dim)
    {
        var values = new ushort[tokens * dim];
        if (encoded[0] == 0) return MemoryMarshal.Cast<byte, ushort>(encoded.AsSpan(1)).ToArray();
        if (encoded[0] == 1)
        {
            Array.Fill(values, BitConverter.ToUInt16(encoded, 1));
            return values;
        }

        int rowBytes = 3 * ((dim + 7) / 8) + dim, escape = 8 + dim + tokens * rowBytes;
        Assert.Equal(encoded.Length - escape, BitConverter.ToInt32(encoded, 4));
        for (int i = 0; i < values.Length; i++)
        {
            (int token, int channel) = Math.DivRem(i, dim);
            int row = 8 + dim + token * rowBytes, code = 0;
            for (int bit = 0; bit < 3; bit++)
            {
                int at = 3 * channel + bit;
                code |= ((encoded[row + at / 8] >> (at % 8)) & 1) << bit;
            }

            byte exponent = code == 7 ? encoded[escape++] : (byte)(encoded[8 + channel] - code);
            byte signMantissa = encoded[row + rowBytes - dim + channel];
            values[i] = (ushort)(((signMantissa & 1) << 15) | (exponent << 7) | (signMantissa >> 1));
        }

        Assert.Equal(encoded.Length, escape);
        return values;
    }
}
