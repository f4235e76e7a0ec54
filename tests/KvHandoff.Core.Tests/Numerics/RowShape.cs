using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>Rows at a stride in a cache block: their numbers, and the bytes that a kernel is given.</summary>
sealed record RowShape(ElementType Type, int Rows, int RowLength, int StrideBytes)
{
    /// <summary>Up to the last row's end; nothing behind it.</summary>
    public int Bytes => Rows == 0 || RowLength == 0 ? 0 : ((Rows - 1) * StrideBytes) + (RowLength * Type.SizeBytes());

    public int Elements => Rows * RowLength;

    /// <summary>A shape whose rows lie this many bytes apart from each other's end.</summary>
    public static RowShape WithGap(ElementType type, int rows, int rowLength, int gapBytes) =>
        new(type, rows, rowLength, (rowLength * type.SizeBytes()) + gapBytes);

    public int OffsetOf(int row, int index) => (row * StrideBytes) + (index * Type.SizeBytes());

    /// <summary>All numbers, row after row, widened by the platform.</summary>
    public float[] Read(ReadOnlySpan<byte> bytes)
    {
        float[] numbers = new float[Elements];
        for (int row = 0; row < Rows; row++)
        {
            for (int i = 0; i < RowLength; i++)
            {
                ReadOnlySpan<byte> element = bytes[OffsetOf(row, i)..];
                numbers[(row * RowLength) + i] = Type switch
                {
                    ElementType.Float32 => BitConverter.ToSingle(element),
                    ElementType.Float16 => (float)BitConverter.ToHalf(element),
                    _ => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(element) << 16),
                };
            }
        }

        return numbers;
    }

    /// <summary>Writes rows into bytes that are NaN in every format wherever no row is.</summary>
    public byte[] Write(ReadOnlySpan<float> numbers)
    {
        byte[] bytes = new byte[Bytes];
        Array.Fill(bytes, (byte)0xFF);
        for (int row = 0; row < Rows; row++)
        {
            for (int i = 0; i < RowLength; i++)
            {
                float number = numbers[(row * RowLength) + i];
                byte[] element = Type switch
                {
                    ElementType.Float32 => BitConverter.GetBytes(number),
                    ElementType.Float16 => BitConverter.GetBytes((Half)number),
                    _ => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(number) >> 16)),
                };
                element.CopyTo(bytes, OffsetOf(row, i));
            }
        }

        return bytes;
    }

    /// <summary>Fails unless each row holds these numbers rounded to the type, and every byte between rows still is the filler.</summary>
    public void AssertRounded(ReadOnlySpan<float> expected, ReadOnlySpan<byte> found, byte filler)
    {
        int size = Type.SizeBytes();
        uint infinity = Type switch { ElementType.Float32 => 0x7F80_0000, ElementType.Float16 => 0x7C00, _ => 0x7F80 };
        uint magnitude = size == 4 ? 0x7FFF_FFFFu : 0x7FFF;
        for (int row = 0; row < Rows; row++)
        {
            for (int i = 0; i < RowLength; i++)
            {
                ReadOnlySpan<byte> element = found[OffsetOf(row, i)..];
                uint bits = size == 4 ? BitConverter.ToUInt32(element) : BitConverter.ToUInt16(element);
                uint rounded = PackingReference.Round(expected[(row * RowLength) + i], Type);
                bool same = (rounded & magnitude) > infinity ? (bits & magnitude) > infinity : bits == rounded;
                if (!same)
                    Assert.Fail($"{this}: [{row}, {i}] is {bits:X}, not {rounded:X} ({expected[(row * RowLength) + i]:R}).");
            }

            if (row + 1 == Rows)
                continue;
            ReadOnlySpan<byte> gap = found[OffsetOf(row, RowLength)..OffsetOf(row + 1, 0)];
            Assert.False(gap.ContainsAnyExcept(filler), $"{this}: wrote behind row {row}.");
        }
    }
}
