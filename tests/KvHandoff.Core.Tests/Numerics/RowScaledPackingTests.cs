using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>One scale a row, against <see cref="PackingReference"/>: codes, scales, flags and unpacked numbers, bit for bit.</summary>
public sealed class RowScaledPackingTests : IDisposable
{
    readonly PackingMemory _memory = new();

    public static TheoryData<ElementType, ElementType> Pairs
    {
        get
        {
            var pairs = new TheoryData<ElementType, ElementType>();
            foreach (ElementType from in PackingMemory.Sources)
            {
                foreach (ElementType code in PackingMemory.CodeTypes)
                    pairs.Add(from, code);
            }

            return pairs;
        }
    }

    public void Dispose() => _memory.Dispose();

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_row_length_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(1);
        for (int rowLength = 1; rowLength <= 256; rowLength++)
        {
            // Rows end to end, an odd number of bytes apart, and as far apart as heads of a token are.
            int gap = (rowLength % 4) switch { 0 => 0, 1 => 1, 2 => 13, _ => 7 * rowLength };
            RowShape shape = RowShape.WithGap(from, rowLength % 6, rowLength, gap);
            ScaleType scaleType = rowLength % 8 < 4 ? ScaleType.Float32 : ScaleType.BFloat16;
            RowContent content = rowLength % 3 == 0 ? RowContent.Mixed : RowContent.Cache;
            Check(shape, content.Numbers(from, shape.Elements, random), code, scaleType, PackingMemory.Offsets[rowLength / 4 % 4]);
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_start_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(2);
        for (int start = 0; start < 64; start++)
        {
            RowShape shape = RowShape.WithGap(from, 3, 64 + start, start);
            Check(shape, RowContent.Cache.Numbers(from, shape.Elements, random), code, ScaleType.Float32, start);
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_content_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(3);
        foreach (RowContent content in Enum.GetValues<RowContent>())
        {
            foreach (int rowLength in new[] { 1, 2, 15, 17, 31, 32, 64, 127, 128 })
            {
                foreach (ScaleType scaleType in PackingMemory.ScaleTypes)
                {
                    RowShape shape = RowShape.WithGap(from, 5, rowLength, 3);
                    Check(shape, content.Numbers(from, shape.Elements, random), code, scaleType, GuardedArea.AtEnd);
                }
            }
        }
    }

    // One row that is not finite must not change its neighbours, which go through the loop for finite rows.
    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_row_that_is_not_finite_leaves_the_others_alone(ElementType from, ElementType code)
    {
        var random = new Random(4);
        foreach (int rowLength in new[] { 64, 128, 72 })
        {
            for (int special = 0; special < 37; special++)
            {
                RowShape shape = RowShape.WithGap(from, 37, rowLength, 0);
                float[] numbers = RowContent.Cache.Numbers(from, shape.Elements, random);
                numbers[(special * rowLength) + random.Next(rowLength)] =
                    new[] { float.NaN, -float.NaN, float.PositiveInfinity, float.NegativeInfinity }[special % 4];
                Check(shape, numbers, code, ScaleType.Float32, 0);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Long_rows_and_many_rows_pack_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(5);
        foreach (RowShape shape in new[]
        {
            RowShape.WithGap(from, 3, 20_011, 5), RowShape.WithGap(from, 2, 4_096, 0), RowShape.WithGap(from, 1_000, 1, 0),
            RowShape.WithGap(from, 700, 3, 1), RowShape.WithGap(from, 130, 128, 256),
        })
        {
            Check(shape, RowContent.Cache.Numbers(from, shape.Elements, random), code, ScaleType.Float32, 0);
            Check(shape, RowContent.Mixed.Numbers(from, shape.Elements, random), code, ScaleType.BFloat16, 1);
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    public void Every_16_bit_pattern_packs_as_documented(ElementType from)
    {
        RowShape shape = RowShape.WithGap(from, 512, 128, 0);
        foreach (int stride in new[] { 1, 40_503 })
        {
            // In order a row holds one exponent; in the other order it holds all.
            float[] numbers = new float[65536];
            for (int i = 0; i < numbers.Length; i++)
            {
                ushort bits = unchecked((ushort)(i * stride));
                numbers[i] = from == ElementType.Float16
                    ? (float)BitConverter.UInt16BitsToHalf(bits)
                    : BitConverter.UInt32BitsToSingle((uint)bits << 16);
            }

            foreach (ElementType code in PackingMemory.CodeTypes)
            {
                foreach (ScaleType scaleType in PackingMemory.ScaleTypes)
                    Check(shape, numbers, code, scaleType, 0);
            }
        }
    }

    [Theory]
    [InlineData(ElementType.Fp8E4M3, "e4m3")]
    [InlineData(ElementType.Fp8E5M2, "e5m2")]
    [InlineData(ElementType.Int8, "int8")]
    public void Rows_pack_as_APFloat_packs_them(ElementType code, string name)
    {
        byte[] source = GoldenTable.Read("rows-bf16");
        const int rows = 24;
        int rowLength = source.Length / 2 / rows;
        byte[] codes = new byte[rows * rowLength];
        float[] scales = new float[rows];
        foreach (ScaleType scaleType in PackingMemory.ScaleTypes)
        {
            byte[] golden = GoldenTable.Read($"rows-{name}-{scaleType.Name()}");
            PackFlags flags = RowScaledPacking.Pack(
                source, rowLength * 2, ElementType.BFloat16, rows, rowLength, code, scaleType, codes, scales);
            Assert.Equal(PackFlags.HadNaN | PackFlags.HadInfinity, flags);
            for (int row = 0; row < rows; row++)
            {
                ReadOnlySpan<byte> record = golden.AsSpan(row * (rowLength + 4), rowLength + 4);
                Assert.Equal(BitConverter.ToSingle(record), scales[row]);
                for (int i = 0; i < rowLength; i++)
                {
                    byte expected = record[4 + i];
                    byte found = codes[(row * rowLength) + i];
                    // APFloat's NaN is written as all ones.
                    if (code == ElementType.Fp8E5M2 && (expected & 0x7F) == 0x7F)
                        expected--;
                    Assert.True(expected == found, $"{name} [{row}, {i}] is {found:X2}, not {expected:X2}.");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Any_code_and_scale_unpacks_as_documented(ElementType to, ElementType code)
    {
        var random = new Random(6);
        for (int rowLength = 1; rowLength <= 300; rowLength += rowLength < 70 ? 1 : 46)
        {
            RowShape shape = RowShape.WithGap(to, 13, rowLength, rowLength % 5);
            byte[] codes = new byte[shape.Elements];
            random.NextBytes(codes);
            float[] scales =
            [
                1, PackingReference.SmallestScale, (float)Math.ScaleB(random.NextDouble() + 1, random.Next(-40, 40)), 1e36f, 0.37f,
                float.MaxValue, float.Epsilon, 0, (float)Math.ScaleB(1, -136), float.PositiveInfinity,
                BitConverter.UInt32BitsToSingle(0x7F80_0001), BitConverter.UInt32BitsToSingle(0xFFFF_FFFF), -0.5f,
            ];
            CheckUnpack(shape, codes, code, scales, PackingMemory.Offsets[rowLength % 4]);
        }
    }

    [Fact]
    public void Random_shapes_pack_as_documented()
    {
        var random = new Random(7);
        for (int round = 0; round < 300; round++)
        {
            ElementType from = PackingMemory.Sources[random.Next(3)];
            RowShape shape = RowShape.WithGap(from, random.Next(40), 1 + random.Next(random.Next(2) == 0 ? 40 : 300), random.Next(70));
            RowContent content = (RowContent)random.Next((int)RowContent.Mixed + 1);
            Check(
                shape, content.Numbers(from, shape.Elements, random), PackingMemory.CodeTypes[random.Next(3)],
                PackingMemory.ScaleTypes[random.Next(2)], random.Next(4) == 0 ? GuardedArea.AtEnd : random.Next(64));
        }
    }

    void Check(RowShape shape, float[] written, ElementType code, ScaleType scaleType, int offset)
    {
        byte[] bytes = shape.Write(written);
        float[] numbers = shape.Read(bytes);
        byte[] expectedCodes = new byte[shape.Elements];
        float[] expectedScales = new float[shape.Rows];
        for (int row = 0; row < shape.Rows; row++)
        {
            ArraySegment<float> elements = new(numbers, row * shape.RowLength, shape.RowLength);
            float scale = PackingReference.Scale(PackingReference.Amax(elements), code, scaleType);
            float inverse = 1 / scale;
            expectedScales[row] = scale;
            for (int i = 0; i < shape.RowLength; i++)
                expectedCodes[(row * shape.RowLength) + i] = PackingReference.Code(elements[i], inverse, code);
        }

        Span<byte> codes = _memory.Codes.Take(shape.Elements, offset);
        Span<float> scales = _memory.Scales.TakeSingles(shape.Rows, offset);
        PackFlags flags = RowScaledPacking.Pack(
            _memory.Source.Take(bytes, offset), shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, code, scaleType, codes, scales);
        string what = $"{shape} to {code}, {scaleType} scales, at {offset}";
        PackingMemory.AssertScales(expectedScales, scales, what);
        PackingMemory.AssertCodes(expectedCodes, codes, numbers, what);
        Assert.Equal(PackingReference.Flags(numbers), flags);
        CheckUnpack(shape, expectedCodes, code, expectedScales, offset);
    }

    void CheckUnpack(RowShape shape, byte[] codes, ElementType code, float[] scales, int offset)
    {
        float[] expected = new float[shape.Elements];
        for (int i = 0; i < expected.Length; i++)
            expected[i] = PackingReference.Value(codes[i], code) * scales[i / shape.RowLength];
        Span<float> scaleSpan = _memory.Scales.TakeSingles(shape.Rows, offset);
        scales.CopyTo(scaleSpan);
        Span<byte> destination = _memory.Destination.Take(shape.Bytes, offset);
        RowScaledPacking.Unpack(
            _memory.Codes.Take(codes, offset), code, shape.Rows, shape.RowLength, scaleSpan, destination, shape.StrideBytes, shape.Type);
        shape.AssertRounded(expected, destination, GuardedArea.Filler);
        _memory.AssertNothingAround();
    }
}
