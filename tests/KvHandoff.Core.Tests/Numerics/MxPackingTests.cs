using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>Groups of 32 with a power of two each, against <see cref="PackingReference"/>: codes, scale bytes, flags and numbers.</summary>
public sealed class MxPackingTests : IDisposable
{
    readonly PackingMemory _memory = new();

    public static TheoryData<ElementType, ElementType, MxRule> Cases
    {
        get
        {
            var cases = new TheoryData<ElementType, ElementType, MxRule>();
            foreach (ElementType from in PackingMemory.Sources)
            {
                foreach (ElementType code in new[] { ElementType.Fp8E4M3, ElementType.Fp8E5M2 })
                {
                    cases.Add(from, code, MxRule.Ceiling);
                    cases.Add(from, code, MxRule.Floor);
                }
            }

            return cases;
        }
    }

    public void Dispose() => _memory.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_row_length_packs_as_documented(ElementType from, ElementType code, MxRule rule)
    {
        var random = new Random(31);
        for (int rowLength = 1; rowLength <= 256; rowLength++)
        {
            RowShape shape = RowShape.WithGap(from, rowLength % 5, rowLength, rowLength % 3 == 0 ? 0 : rowLength % 29);
            RowContent content = rowLength % 4 == 0 ? RowContent.Cache : RowContent.Mixed;
            Check(shape, content.Numbers(from, shape.Elements, random), code, rule, PackingMemory.Offsets[rowLength / 4 % 4]);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_start_packs_as_documented(ElementType from, ElementType code, MxRule rule)
    {
        var random = new Random(32);
        for (int start = 0; start < 64; start++)
        {
            RowShape shape = RowShape.WithGap(from, 3, 64 + start, start);
            Check(shape, RowContent.Cache.Numbers(from, shape.Elements, random), code, rule, start);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_content_packs_as_documented(ElementType from, ElementType code, MxRule rule)
    {
        var random = new Random(33);
        foreach (RowContent content in Enum.GetValues<RowContent>())
        {
            foreach (int rowLength in new[] { 1, 31, 32, 33, 47, 64, 127, 128 })
            {
                RowShape shape = RowShape.WithGap(from, 4, rowLength, 3);
                Check(shape, content.Numbers(from, shape.Elements, random), code, rule, GuardedArea.AtEnd);
            }
        }
    }

    // Every exponent of a group, and within it a magnitude on each side of where the scale and the saturation change.
    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_magnitude_of_a_group_packs_as_documented(ElementType from, ElementType code, MxRule rule)
    {
        var random = new Random(34);
        float[] fractions = [1, 1.0078125f, 1.5f, 1.75f, 1.7578125f, 1.8125f, 1.8203125f, 1.875f, 1.8828125f, 1.9921875f];
        RowShape shape = RowShape.WithGap(from, 278, fractions.Length * 32, 0);
        float[] numbers = new float[shape.Elements];
        for (int i = 0; i < numbers.Length; i++)
        {
            double amax = Math.ScaleB(fractions[i / 32 % fractions.Length], (i / shape.RowLength) - 150);
            double number = i % 32 == 7 ? -amax : amax * Math.ScaleB(random.NextDouble(), -random.Next(12));
            numbers[i] = Math.Abs(number) > 3.38e38 ? 3.38e38f : (float)number;
        }

        Check(shape, numbers, code, rule, 0);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Any_code_and_scale_byte_unpacks_as_documented(ElementType to, ElementType code, MxRule rule)
    {
        var random = new Random(35 + (int)rule);
        // A row of eight groups for each scale byte; every code appears under every one.
        RowShape shape = RowShape.WithGap(to, 256, 256, 2);
        byte[] codes = [.. Enumerable.Range(0, shape.Elements).Select(i => (byte)((i % 256 * 37) + (i / 256)))];
        byte[] scales = [.. Enumerable.Range(0, 256 * 8).Select(i => (byte)(i / 8))];
        CheckUnpack(shape, codes, code, scales, 0);
        for (int rowLength = 1; rowLength < 100; rowLength++)
        {
            shape = RowShape.WithGap(to, 3, rowLength, rowLength % 5);
            codes = new byte[shape.Elements];
            random.NextBytes(codes);
            scales = new byte[3 * Groups(rowLength)];
            random.NextBytes(scales);
            CheckUnpack(shape, codes, code, scales, PackingMemory.Offsets[rowLength % 4]);
        }
    }

    [Fact]
    public void Random_shapes_pack_as_documented()
    {
        var random = new Random(36);
        for (int round = 0; round < 200; round++)
        {
            ElementType from = PackingMemory.Sources[random.Next(3)];
            RowShape shape = RowShape.WithGap(from, random.Next(40), 1 + random.Next(300), random.Next(70));
            RowContent content = (RowContent)random.Next((int)RowContent.Mixed + 1);
            Check(
                shape, content.Numbers(from, shape.Elements, random), random.Next(2) == 0 ? ElementType.Fp8E4M3 : ElementType.Fp8E5M2,
                random.Next(2) == 0 ? MxRule.Ceiling : MxRule.Floor, random.Next(4) == 0 ? GuardedArea.AtEnd : random.Next(64));
        }
    }

    [Fact]
    public void A_group_keeps_its_NaN_and_its_scale_byte_stays_a_number()
    {
        float[] numbers = new float[40];
        numbers[3] = float.NaN;
        numbers[4] = 448;
        numbers[33] = -float.NaN;
        RowShape shape = RowShape.WithGap(ElementType.Float32, 1, 40, 0);
        byte[] codes = new byte[40];
        byte[] scales = new byte[2];
        PackFlags flags = MxPacking.Pack(
            shape.Write(numbers), 160, ElementType.Float32, 1, 40, ElementType.Fp8E4M3, MxRule.Ceiling, codes, scales);
        Assert.Equal(PackFlags.HadNaN, flags);
        Assert.Equal([127, 0], scales);
        Assert.Equal(0x7F, codes[3] & 0x7F);
        Assert.Equal(0x7E, codes[4]);
        Assert.Equal(0x7F, codes[33] & 0x7F);
        Assert.Equal(0, codes[34]);
    }

    static int Groups(int rowLength) => (rowLength + PackingReference.GroupLength - 1) / PackingReference.GroupLength;

    void Check(RowShape shape, float[] written, ElementType code, MxRule rule, int offset)
    {
        byte[] bytes = shape.Write(written);
        float[] numbers = shape.Read(bytes);
        int groups = Groups(shape.RowLength);
        byte[] expectedCodes = new byte[shape.Elements];
        byte[] expectedScales = new byte[shape.Rows * groups];
        for (int group = 0; group < expectedScales.Length; group++)
        {
            int first = (group / groups * shape.RowLength) + (group % groups * PackingReference.GroupLength);
            int count = Math.Min(PackingReference.GroupLength, shape.RowLength - (group % groups * PackingReference.GroupLength));
            float amax = PackingReference.Amax(new ArraySegment<float>(numbers, first, count));
            int exponent = PackingReference.GroupExponent(amax, code, rule);
            expectedScales[group] = (byte)(exponent + 127);
            for (int i = first; i < first + count; i++)
                expectedCodes[i] = PackingReference.Nearest(Math.ScaleB(numbers[i], -exponent), code);
        }

        Span<byte> codes = _memory.Codes.Take(shape.Elements, offset);
        Span<byte> scales = _memory.Scales.Take(expectedScales.Length, offset);
        PackFlags flags = MxPacking.Pack(
            _memory.Source.Take(bytes, offset), shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, code, rule, codes, scales);
        string what = $"{shape} to {code}, {rule}, at {offset}";
        int at = scales.CommonPrefixLength(expectedScales);
        if (at < scales.Length)
            Assert.Fail($"{what}: scale byte {at} is {scales[at]}, not {expectedScales[at]}.");
        PackingMemory.AssertCodes(expectedCodes, codes, numbers, what);
        Assert.Equal(PackingReference.Flags(numbers), flags);
        CheckUnpack(shape, expectedCodes, code, expectedScales, offset);
    }

    void CheckUnpack(RowShape shape, byte[] codes, ElementType code, byte[] scales, int offset)
    {
        int groups = Groups(shape.RowLength);
        float[] expected = new float[shape.Elements];
        for (int i = 0; i < expected.Length; i++)
        {
            byte scale = scales[(i / shape.RowLength * groups) + (i % shape.RowLength / PackingReference.GroupLength)];
            float value = PackingReference.Value(codes[i], code);
            // Exact in a double; the cast can only overflow.
            expected[i] = scale == 0xFF ? float.NaN : (float)Math.ScaleB(value, scale - 127);
        }

        Span<byte> destination = _memory.Destination.Take(shape.Bytes, offset);
        MxPacking.Unpack(
            _memory.Codes.Take(codes, offset), code, shape.Rows, shape.RowLength, _memory.Scales.Take(scales, offset), destination,
            shape.StrideBytes, shape.Type);
        shape.AssertRounded(expected, destination, GuardedArea.Filler);
        _memory.AssertNothingAround();
    }
}
