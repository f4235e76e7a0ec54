using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>One scale a channel, against <see cref="PackingReference"/>: magnitudes, scales, codes, flags and numbers.</summary>
public sealed class ChannelScaledPackingTests : IDisposable
{
    readonly PackingMemory _memory = new();

    public static TheoryData<ElementType, ElementType> Pairs => RowScaledPackingTests.Pairs;

    public void Dispose() => _memory.Dispose();

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_row_length_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(11);
        for (int rowLength = 1; rowLength <= 256; rowLength++)
        {
            RowShape shape = RowShape.WithGap(from, rowLength % 9, rowLength, rowLength % 4 == 0 ? 0 : rowLength % 23);
            ScaleType scaleType = rowLength % 8 < 4 ? ScaleType.Float32 : ScaleType.BFloat16;
            RowContent content = rowLength % 3 == 0 ? RowContent.Mixed : RowContent.Cache;
            Check(
                shape, content.Numbers(from, shape.Elements, random), code, scaleType, PackingMemory.Offsets[rowLength / 4 % 4],
                rowLength % 9 / 2);
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_start_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(12);
        for (int start = 0; start < 64; start++)
        {
            RowShape shape = RowShape.WithGap(from, 5, 64 + start, start);
            Check(shape, RowContent.Cache.Numbers(from, shape.Elements, random), code, ScaleType.Float32, start, 2);
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Every_content_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(13);
        foreach (RowContent content in Enum.GetValues<RowContent>())
        {
            foreach (int rowLength in new[] { 1, 15, 33, 64, 128 })
            {
                foreach (ScaleType scaleType in PackingMemory.ScaleTypes)
                {
                    RowShape shape = RowShape.WithGap(from, 7, rowLength, 3);
                    Check(shape, content.Numbers(from, shape.Elements, random), code, scaleType, GuardedArea.AtEnd, 3);
                }
            }
        }
    }

    // A tile of a cache: 64 tokens, every channel of another size, one channel that dwarfs the rest.
    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_tile_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(14);
        foreach ((int rowLength, int gap) in new[] { (128, 0), (64, 128), (576, 0), (80, 11) })
        {
            RowShape shape = RowShape.WithGap(from, 64, rowLength, gap);
            float[] numbers = RowContent.Cache.Numbers(from, shape.Elements, random);
            for (int i = 0; i < numbers.Length; i++)
                numbers[i] *= i % rowLength == 5 ? 1_000 : 1 + (i % rowLength % 7);
            Check(shape, numbers, code, ScaleType.Float32, 0, 48);
            numbers[(9 * rowLength) + 7] = float.NaN;
            numbers[(60 * rowLength) + 5] = float.NegativeInfinity;
            Check(shape, numbers, code, ScaleType.BFloat16, 0, 16);
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Any_code_and_scale_unpacks_as_documented(ElementType to, ElementType code)
    {
        var random = new Random(15);
        for (int rowLength = 1; rowLength <= 300; rowLength += rowLength < 70 ? 1 : 46)
        {
            RowShape shape = RowShape.WithGap(to, 4, rowLength, rowLength % 5);
            byte[] codes = new byte[shape.Elements];
            random.NextBytes(codes);
            float[] scales = PowersAround(-149, 127, rowLength, random);
            scales[rowLength / 2] = (rowLength % 5) switch
            {
                0 => float.MaxValue,
                1 => 0,
                2 => BitConverter.UInt32BitsToSingle(0x7F80_0001),
                3 => float.PositiveInfinity,
                _ => -0.5f,
            };
            CheckUnpack(shape, codes, code, scales, PackingMemory.Offsets[rowLength % 4]);
        }
    }

    // Inverses that another tile gave: what is beyond the largest code saturates.
    [Theory]
    [MemberData(nameof(Pairs))]
    public void Any_inverse_packs_as_documented(ElementType from, ElementType code)
    {
        var random = new Random(17);
        for (int rowLength = 1; rowLength <= 300; rowLength += rowLength < 70 ? 1 : 46)
        {
            RowShape shape = RowShape.WithGap(from, 4, rowLength, rowLength % 5);
            byte[] bytes = shape.Write(RowContent.Mixed.Numbers(from, shape.Elements, random));
            float[] numbers = shape.Read(bytes);
            float[] inverses = PowersAround(-120, 120, rowLength, random);
            byte[] codes = new byte[shape.Elements];
            ChannelScaledPacking.Pack(bytes, shape.StrideBytes, from, shape.Rows, rowLength, code, inverses, codes);
            byte[] expected = [.. numbers.Select((number, i) => PackingReference.Code(number, inverses[i % rowLength], code))];
            PackingMemory.AssertCodes(expected, codes, numbers, $"{shape} to {code}");
        }
    }

    [Fact]
    public void Magnitudes_continue_from_what_was_there()
    {
        float[] largest = [5, 0, 0.25f, 0];
        float[] rows = [1, -2, 0.5f, -0f, -4, 1, float.NaN, float.NegativeInfinity];
        RowShape shape = RowShape.WithGap(ElementType.Float32, 2, 4, 0);
        PackFlags flags = ChannelScaledPacking.AccumulateMagnitudes(shape.Write(rows), 16, ElementType.Float32, 2, 4, largest);
        Assert.Equal(PackFlags.HadNaN | PackFlags.HadInfinity, flags);
        Assert.Equal([5, 2, 0.5f, 0], largest);
        Assert.Equal(0u, BitConverter.SingleToUInt32Bits(largest[3]));
    }

    [Fact]
    public void Random_shapes_pack_as_documented()
    {
        var random = new Random(16);
        for (int round = 0; round < 300; round++)
        {
            ElementType from = PackingMemory.Sources[random.Next(3)];
            RowShape shape = RowShape.WithGap(from, random.Next(70), 1 + random.Next(random.Next(2) == 0 ? 40 : 300), random.Next(70));
            RowContent content = (RowContent)random.Next((int)RowContent.Mixed + 1);
            Check(
                shape, content.Numbers(from, shape.Elements, random), PackingMemory.CodeTypes[random.Next(3)],
                PackingMemory.ScaleTypes[random.Next(2)], random.Next(4) == 0 ? GuardedArea.AtEnd : random.Next(64),
                random.Next(shape.Rows + 1));
        }
    }

    static float[] PowersAround(int lowest, int highest, int count, Random random) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)Math.ScaleB(random.NextDouble() + 1, random.Next(lowest, highest)))];

    /// <param name="firstRows">Rows of the first of the two blocks that the tile lies in.</param>
    void Check(RowShape shape, float[] written, ElementType code, ScaleType scaleType, int offset, int firstRows)
    {
        byte[] bytes = shape.Write(written);
        float[] numbers = shape.Read(bytes);
        int channels = shape.RowLength;
        string what = $"{shape} to {code}, {scaleType} scales, at {offset}";
        float[] expectedLargest = new float[channels];
        for (int i = 0; i < numbers.Length; i++)
            expectedLargest[i % channels] = PackingReference.Amax([expectedLargest[i % channels], numbers[i]]);
        float[] expectedScales = [.. expectedLargest.Select(largest => PackingReference.Scale(largest, code, scaleType))];
        float[] expectedInverses = [.. expectedScales.Select(scale => 1 / scale)];

        Span<float> accumulated = _memory.Scales.TakeSingles(channels, offset);
        accumulated.Clear();
        PackFlags flags = PackFlags.None;
        foreach ((int first, int rows) in new[] { (0, firstRows), (firstRows, shape.Rows - firstRows) })
        {
            RowShape part = shape with { Rows = rows };
            ReadOnlySpan<byte> source = _memory.Source.Take(bytes.AsSpan(rows == 0 ? 0 : first * shape.StrideBytes, part.Bytes), offset);
            flags |= ChannelScaledPacking.AccumulateMagnitudes(source, shape.StrideBytes, shape.Type, rows, channels, accumulated);
        }

        PackingMemory.AssertScales(expectedLargest, accumulated, $"largest of {what}");
        Assert.Equal(PackingReference.Flags(numbers), flags);
        _memory.AssertNothingAround();

        Span<float> scales = _memory.Scales.TakeSingles(channels, offset);
        Span<float> inverses = _memory.Inverses.TakeSingles(channels, offset);
        ChannelScaledPacking.ScalesOf(expectedLargest, code, scaleType, scales, inverses);
        PackingMemory.AssertScales(expectedScales, scales, what);
        PackingMemory.AssertScales(expectedInverses, inverses, $"inverses of {what}");

        byte[] expectedCodes = [.. numbers.Select((number, i) => PackingReference.Code(number, expectedInverses[i % channels], code))];
        Span<byte> codes = _memory.Codes.Take(shape.Elements, offset);
        ChannelScaledPacking.Pack(
            _memory.Source.Take(bytes, offset), shape.StrideBytes, shape.Type, shape.Rows, channels, code, inverses, codes);
        PackingMemory.AssertCodes(expectedCodes, codes, numbers, what);
        CheckUnpack(shape, expectedCodes, code, expectedScales, offset);
    }

    void CheckUnpack(RowShape shape, byte[] codes, ElementType code, float[] scales, int offset)
    {
        float[] expected = [.. codes.Select((c, i) => PackingReference.Value(c, code) * scales[i % shape.RowLength])];
        Span<float> scaleSpan = _memory.Scales.TakeSingles(shape.RowLength, offset);
        scales.CopyTo(scaleSpan);
        Span<byte> destination = _memory.Destination.Take(shape.Bytes, offset);
        ChannelScaledPacking.Unpack(
            _memory.Codes.Take(codes, offset), code, shape.Rows, shape.RowLength, scaleSpan, destination, shape.StrideBytes, shape.Type);
        shape.AssertRounded(expected, destination, GuardedArea.Filler);
        _memory.AssertNothingAround();
    }
}
