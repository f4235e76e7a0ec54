using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>One given scale, against <see cref="PackingReference"/>; and INT8 for every input against exact arithmetic.</summary>
public sealed class FixedScalePackingTests : IDisposable
{
    readonly PackingMemory _memory = new();

    public static TheoryData<ElementType, ElementType> Pairs => RowScaledPackingTests.Pairs;

    public static TheoryData<float> Scales => [1, 0.0078125f, 0.01f, 3.7f, 1e-4f, 96.5f, 7.52316385e-37f, 1e30f, float.MaxValue];

    public void Dispose() => _memory.Dispose();

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_row_length_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(21);
        for (int rowLength = 1; rowLength <= 256; rowLength++)
        {
            RowShape shape = RowShape.WithGap(from, rowLength % 5, rowLength, rowLength % 3 == 0 ? 0 : rowLength % 29);
            RowContent content = rowLength % 3 == 0 ? RowContent.Mixed : RowContent.Cache;
            float scale = (float)Math.ScaleB(1 + random.NextDouble(), random.Next(-14, 4));
            Check(shape, content.Numbers(from, shape.Elements, random), code, scale, PackingMemory.Offsets[rowLength / 4 % 4]);
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_start_and_content_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(22);
        for (int start = 0; start < 64; start++)
        {
            RowShape shape = RowShape.WithGap(from, 3, 64 + start, start);
            RowContent content = (RowContent)(start % ((int)RowContent.Mixed + 1));
            Check(shape, content.Numbers(from, shape.Elements, random), code, start % 2 == 0 ? 1 : 0.03f, start);
        }
    }

    [Theory]
    [MemberData(nameof(Scales))]
    public void Every_bf16_pattern_packs_as_documented(float scale)
    {
        RowShape shape = RowShape.WithGap(ElementType.BFloat16, 64, 1024, 0);
        float[] patterns = [.. Enumerable.Range(0, 65536).Select(code => BitConverter.UInt32BitsToSingle((uint)code << 16))];
        foreach (ElementType code in PackingMemory.CodeTypes)
            Check(shape, patterns, code, scale, 0);
    }

    // With a power of two as scale x / scale is exact, and so is the rest over its floor: eight significant bits, in a double.
    [Theory]
    [InlineData(-7)]
    [InlineData(0)]
    [InlineData(5)]
    public void Int8_is_the_nearest_integer_with_ties_to_even(int exponent)
    {
        float scale = MathF.ScaleB(1, exponent);
        RowShape shape = RowShape.WithGap(ElementType.BFloat16, 1, 65536, 0);
        float[] patterns = [.. Enumerable.Range(0, 65536).Select(code => BitConverter.UInt32BitsToSingle((uint)code << 16))];
        byte[] codes = new byte[65536];
        PackFlags flags = FixedScalePacking.Pack(
            shape.Write(patterns), shape.StrideBytes, ElementType.BFloat16, 1, 65536, ElementType.Int8, scale, codes);
        Assert.Equal(PackFlags.HadNaN | PackFlags.HadInfinity, flags);
        int ties = 0;
        for (int i = 0; i < patterns.Length; i++)
        {
            int expected;
            if (float.IsNaN(patterns[i]))
                expected = 0;
            else if (Math.Abs(patterns[i] / (double)scale) >= 127)
                expected = float.IsNegative(patterns[i]) ? -127 : 127;
            else
            {
                double exact = patterns[i] / (double)scale;
                double down = Math.Floor(exact);
                double rest = exact - down;
                ties += rest == 0.5 ? 1 : 0;
                expected = (int)down + (rest > 0.5 || (rest == 0.5 && down % 2 != 0) ? 1 : 0);
            }

            if (expected != (sbyte)codes[i])
                Assert.Fail($"{patterns[i]:R} / {scale} became {(sbyte)codes[i]}, not {expected}.");
        }

        // -126.5 to 126.5 in steps of 1: BF16 has eight significant bits, enough for every one of them.
        Assert.Equal(254, ties);
    }

    [Theory]
    [MemberData(nameof(Scales))]
    public void Every_int8_code_is_its_integer_times_the_scale(float scale)
    {
        scale = Math.Min(scale, 1e36f);
        byte[] codes = [.. Enumerable.Range(0, 256).Select(code => (byte)code)];
        foreach (ElementType to in PackingMemory.Sources)
            CheckUnpack(RowShape.WithGap(to, 4, 64, 6), codes, ElementType.Int8, scale, 0);

        byte[] singles = new byte[1024];
        FixedScalePacking.Unpack(codes, ElementType.Int8, 1, 256, scale, singles, 1024, ElementType.Float32);
        for (int code = 0; code < 256; code++)
        {
            // 8 bits times 24 bits fit in a double; the cast rounds once.
            Assert.Equal((float)((double)(sbyte)code * scale), BitConverter.ToSingle(singles, code * 4));
        }

        // What unpacked exactly packs to the code it came from; -128 is not one of Pack's codes.
        byte[] back = new byte[256];
        FixedScalePacking.Pack(singles, 1024, ElementType.Float32, 1, 256, ElementType.Int8, scale, back);
        codes[0x80] = 0x81;
        Assert.Equal(codes, back);
    }

    [Theory]
    [InlineData(ElementType.Fp8E4M3)]
    [InlineData(ElementType.Fp8E5M2)]
    public void With_scale_one_every_finite_code_survives_a_round_trip(ElementType code)
    {
        byte[] codes = [.. Enumerable.Range(0, 256).Select(c => (byte)c).Where(c => float.IsFinite(PackingReference.Value(c, code)))];
        foreach (ElementType type in PackingMemory.Sources)
        {
            RowShape shape = RowShape.WithGap(type, 1, codes.Length, 0);
            byte[] unpacked = new byte[shape.Bytes];
            byte[] back = new byte[codes.Length];
            FixedScalePacking.Unpack(codes, code, 1, codes.Length, 1, unpacked, shape.StrideBytes, type);
            Assert.Equal(PackFlags.None, FixedScalePacking.Pack(unpacked, shape.StrideBytes, type, 1, codes.Length, code, 1, back));
            Assert.Equal(codes, back);
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Any_code_unpacks_as_documented(ElementType to, ElementType code)
    {
        var random = new Random(23);
        for (int rowLength = 1; rowLength <= 300; rowLength += rowLength < 70 ? 1 : 46)
        {
            RowShape shape = RowShape.WithGap(to, 4, rowLength, rowLength % 5);
            byte[] codes = new byte[shape.Elements];
            random.NextBytes(codes);
            float scale = (float)Math.ScaleB(1 + random.NextDouble(), random.Next(-60, 60));
            CheckUnpack(shape, codes, code, scale, PackingMemory.Offsets[rowLength % 4]);
        }
    }

    void Check(RowShape shape, float[] written, ElementType code, float scale, int offset)
    {
        byte[] bytes = shape.Write(written);
        float[] numbers = shape.Read(bytes);
        float inverse = 1 / scale;
        byte[] expected = [.. numbers.Select(number => PackingReference.Code(number, inverse, code))];
        Span<byte> codes = _memory.Codes.Take(shape.Elements, offset);
        PackFlags flags = FixedScalePacking.Pack(
            _memory.Source.Take(bytes, offset), shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, code, scale, codes);
        PackingMemory.AssertCodes(expected, codes, numbers, $"{shape} to {code} with scale {scale:R} at {offset}");
        Assert.Equal(PackingReference.Flags(numbers), flags);
        CheckUnpack(shape, expected, code, scale, offset);
    }

    void CheckUnpack(RowShape shape, byte[] codes, ElementType code, float scale, int offset)
    {
        float[] expected = [.. codes.Select(c => PackingReference.Value(c, code) * scale)];
        Span<byte> destination = _memory.Destination.Take(shape.Bytes, offset);
        FixedScalePacking.Unpack(
            _memory.Codes.Take(codes, offset), code, shape.Rows, shape.RowLength, scale, destination, shape.StrideBytes, shape.Type);
        shape.AssertRounded(expected, destination, GuardedArea.Filler);
        _memory.AssertNothingAround();
    }
}
