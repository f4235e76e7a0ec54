using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>The bulk conversions against the scalar definition, bit for bit.</summary>
public class ElementConversionTests
{
    const byte Sentinel = 0xA5;

    public static TheoryData<string> Formats => NarrowFormatTests.Formats;

    [Theory]
    [MemberData(nameof(Formats))]
    public void Every_code_widens_as_defined(string name)
    {
        NarrowFormat format = NarrowFormat.Named(name);
        int count = 1 << (8 * format.SizeBytes);
        CheckWiden(format, AllCodes(format.SizeBytes), new byte[count * 4], count);
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Every_16_bit_pattern_narrows_as_defined(string name)
    {
        NarrowFormat format = NarrowFormat.Named(name);
        foreach (string wide in new[] { "bf16", "fp16" })
        {
            byte[] singles = new byte[65536 * 4];
            NarrowFormat.Named(wide).ToSingle(AllCodes(2), singles);
            CheckNarrow(format, singles, new byte[65536 * format.SizeBytes], 65536);
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Random_patterns_narrow_as_defined(string name)
    {
        NarrowFormat format = NarrowFormat.Named(name);
        const int count = 1_000_003;
        CheckNarrow(format, format.RandomSingles(count, seed: 3), new byte[count * format.SizeBytes], count);
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Every_length_and_start_converts_and_touches_nothing_else(string name)
    {
        NarrowFormat format = NarrowFormat.Named(name);
        byte[] singles = format.RandomSingles(300, seed: 4);
        byte[] codes = new byte[300 * format.SizeBytes];
        new Random(5).NextBytes(codes);
        byte[] results = new byte[(300 * 4) + 16];
        for (int length = 0; length <= 256; length++)
        {
            // Spans may start at any byte: frames of the wire are not aligned.
            for (int start = 0; start < 7; start++)
            {
                byte[] source = [.. new byte[start], .. singles.AsSpan(length % 3 * 4, length * 4)];
                Array.Fill(results, Sentinel);
                CheckNarrow(format, source.AsSpan(start), results.AsSpan(start, length * format.SizeBytes), length);
                AssertSentinels(results, start, length * format.SizeBytes);

                source = [.. new byte[start], .. codes.AsSpan(0, length * format.SizeBytes)];
                Array.Fill(results, Sentinel);
                CheckWiden(format, source.AsSpan(start), results.AsSpan(start, length * 4), length);
                AssertSentinels(results, start, length * 4);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void No_length_reads_or_writes_past_its_spans(string name)
    {
        if (!GuardedBuffer.IsAvailable)
            return;
        NarrowFormat format = NarrowFormat.Named(name);
        using var wide = new GuardedBuffer(1024);
        using var narrow = new GuardedBuffer(512);
        for (int length = 0; length <= 256; length++)
        {
            int bytes = length * format.SizeBytes;
            format.RandomSingles(length, seed: length).CopyTo(wide.AtEnd<byte>(length * 4));
            CheckNarrow(format, wide.AtEnd<byte>(length * 4), narrow.AtEnd<byte>(bytes), length);
            CheckWiden(format, narrow.AtEnd<byte>(bytes), wide.AtEnd<byte>(length * 4), length);

            format.RandomSingles(length, seed: length).CopyTo(wide.AtStart<byte>(length * 4));
            CheckNarrow(format, wide.AtStart<byte>(length * 4), narrow.AtStart<byte>(bytes), length);
            CheckWiden(format, narrow.AtStart<byte>(bytes), wide.AtStart<byte>(length * 4), length);
        }
    }

    [Fact]
    public void Convert_joins_any_two_float_formats()
    {
        ElementType[] floats = [.. Enum.GetValues<ElementType>().Where(type => type != ElementType.Int8)];
        byte[] random = new byte[(2000 * 4) + 1];
        new Random(6).NextBytes(random);
        foreach (ElementType from in floats)
        {
            foreach (ElementType to in floats)
            {
                foreach (int count in new[] { 0, 1, 511, 512, 513, 2000 })
                {
                    // One byte off any alignment.
                    ReadOnlySpan<byte> source = random.AsSpan(1, count * from.SizeBytes());
                    byte[] destination = new byte[(count * to.SizeBytes()) + 1];
                    ElementConversion.Convert(source, from, destination.AsSpan(1), to);
                    Assert.Equal(Reference(source, from, to), destination.AsSpan(1).ToArray());
                }
            }
        }
    }

    [Fact]
    public void Wrong_arguments_are_named()
    {
        ArgumentException tooShort = Assert.Throws<ArgumentException>(
            () => ElementConversion.ToSingle(new BFloat16[17], new float[16]));
        Assert.Contains("16", tooShort.Message);
        Assert.Contains("17", tooShort.Message);
        Assert.Throws<ArgumentException>(() => ElementConversion.FromSingle(new float[2], new Fp8E4M3[1]));
        tooShort = Assert.Throws<ArgumentException>(
            () => ElementConversion.Convert(new byte[8], ElementType.Float16, new byte[15], ElementType.Float32));
        Assert.Contains("15", tooShort.Message);
        Assert.Contains("16", tooShort.Message);
        Assert.Throws<ArgumentException>(
            () => ElementConversion.Convert(new byte[3], ElementType.BFloat16, new byte[64], ElementType.Float32));
        foreach (ElementType unscaled in new[] { ElementType.Int8, (ElementType)0, (ElementType)9 })
        {
            Assert.Throws<ArgumentOutOfRangeException>(
                "from", () => ElementConversion.Convert(new byte[4], unscaled, new byte[4], ElementType.Float32));
            Assert.Throws<ArgumentOutOfRangeException>(
                "to", () => ElementConversion.Convert(new byte[4], ElementType.Float32, new byte[4], unscaled));
        }
    }

    static byte[] Reference(ReadOnlySpan<byte> source, ElementType from, ElementType to)
    {
        if (from == to)
            return source.ToArray();
        int count = source.Length / from.SizeBytes();
        byte[] result = new byte[count * to.SizeBytes()];
        for (int i = 0; i < count; i++)
        {
            uint single = from == ElementType.Float32
                ? MemoryMarshal.Cast<byte, uint>(source)[i]
                : NarrowFormat.Named(from.Name()).Decode(NarrowFormat.Named(from.Name()).Read(source, i));
            if (to == ElementType.Float32)
            {
                MemoryMarshal.Cast<byte, uint>(result.AsSpan())[i] = single;
                continue;
            }

            uint code = NarrowFormat.Named(to.Name()).Encode(single);
            if (to.SizeBytes() == 1)
                result[i] = (byte)code;
            else
                MemoryMarshal.Cast<byte, ushort>(result.AsSpan())[i] = (ushort)code;
        }

        return result;
    }

    static byte[] AllCodes(int sizeBytes)
    {
        if (sizeBytes == 1)
            return [.. Enumerable.Range(0, 256).Select(code => (byte)code)];
        ushort[] codes = [.. Enumerable.Range(0, 65536).Select(code => (ushort)code)];
        return MemoryMarshal.AsBytes<ushort>(codes).ToArray();
    }

    static void CheckWiden(NarrowFormat format, ReadOnlySpan<byte> codes, Span<byte> destination, int count)
    {
        format.ToSingle(codes, destination);
        ReadOnlySpan<uint> singles = MemoryMarshal.Cast<byte, uint>(destination);
        for (int i = 0; i < count; i++)
        {
            uint code = format.Read(codes, i);
            if (singles[i] != format.Decode(code))
                Assert.Fail($"{format.Type}: {code:X} at {i} of {count} widened to {singles[i]:X8}, not {format.Decode(code):X8}.");
        }
    }

    static void CheckNarrow(NarrowFormat format, ReadOnlySpan<byte> source, Span<byte> destination, int count)
    {
        format.FromSingle(source, destination);
        ReadOnlySpan<uint> singles = MemoryMarshal.Cast<byte, uint>(source);
        for (int i = 0; i < count; i++)
        {
            uint code = format.Read(destination, i);
            uint expected = format.Encode(singles[i]);
            if (code != expected)
                Assert.Fail($"{format.Type}: {singles[i]:X8} at {i} of {count} narrowed to {code:X}, not {expected:X}.");
        }
    }

    static void AssertSentinels(byte[] bytes, int start, int length)
    {
        Assert.False(bytes.AsSpan(0, start).ContainsAnyExcept(Sentinel));
        Assert.False(bytes.AsSpan(start + length).ContainsAnyExcept(Sentinel));
    }
}
