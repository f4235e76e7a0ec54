using System.Buffers.Binary;

namespace KvHandoff.Numerics;

public static partial class Crc32C
{
    // Castagnoli's polynomial without its leading term, bit 31 holding x^0.
    const uint ReflectedPolynomial = 0x82F6_3B78;

    // x^0 in the reflected order.
    const uint One = 0x8000_0000;

    /// <summary>Slicing by eight: table k advances a byte over k more zero bytes.</summary>
    internal static uint UpdateScalar(uint state, ReadOnlySpan<byte> data)
    {
        ReadOnlySpan<uint> table = Tables.Slices;
        while (data.Length >= 8)
        {
            uint low = BinaryPrimitives.ReadUInt32LittleEndian(data) ^ state;
            uint high = BinaryPrimitives.ReadUInt32LittleEndian(data[4..]);
            state = table[(7 * 256) + (int)(low & 0xFF)]
                ^ table[(6 * 256) + (int)((low >> 8) & 0xFF)]
                ^ table[(5 * 256) + (int)((low >> 16) & 0xFF)]
                ^ table[(4 * 256) + (int)(low >> 24)]
                ^ table[(3 * 256) + (int)(high & 0xFF)]
                ^ table[(2 * 256) + (int)((high >> 8) & 0xFF)]
                ^ table[256 + (int)((high >> 16) & 0xFF)]
                ^ table[(int)(high >> 24)];
            data = data[8..];
        }

        foreach (byte b in data)
            state = table[(int)((state ^ b) & 0xFF)] ^ (state >> 8);
        return state;
    }

    /// <summary>The product of two polynomials modulo Castagnoli's, all three reflected.</summary>
    static uint Multiply(uint left, uint right)
    {
        uint product = 0;
        for (; left != 0; left <<= 1)
        {
            if ((left & One) != 0)
                product ^= right;
            right = TimesX(right);
        }

        return product;
    }

    /// <summary>x^(count * 2^exponentOfUnit) modulo the polynomial.</summary>
    internal static uint PowerOfX(ulong count, int exponentOfUnit)
    {
        uint power = One;
        uint square = One >> 1;
        for (int i = 0; i < exponentOfUnit; i++)
            square = Multiply(square, square);
        for (; count != 0; count >>= 1)
        {
            if ((count & 1) != 0)
                power = Multiply(power, square);
            square = Multiply(square, square);
        }

        return power;
    }

    static uint TimesX(uint value) => (value >> 1) ^ ((value & 1) != 0 ? ReflectedPolynomial : 0);

    // A class of its own, so that 8 KiB of tables are built only where software needs them.
    static class Tables
    {
        internal static readonly uint[] Slices = Build();

        static uint[] Build()
        {
            uint[] slices = new uint[8 * 256];
            for (uint b = 0; b < 256; b++)
            {
                uint value = b;
                for (int bit = 0; bit < 8; bit++)
                    value = TimesX(value);
                slices[b] = value;
            }

            for (int i = 256; i < slices.Length; i++)
                slices[i] = (slices[i - 256] >> 8) ^ slices[slices[i - 256] & 0xFF];
            return slices;
        }
    }
}
