using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>Scalar casts and bulk conversions against tables that APFloat computed: every 16-bit input, every 8-bit code.</summary>
public class GoldenTableTests
{
    public static TheoryData<string, string> Conversions => new()
    {
        { "bf16", "e4m3" }, { "bf16", "e5m2" }, { "bf16", "fp16" },
        { "fp16", "e4m3" }, { "fp16", "e5m2" }, { "fp16", "bf16" },
        { "fp32", "e4m3" }, { "fp32", "e5m2" }, { "fp32", "fp16" }, { "fp32", "bf16" },
    };

    public static TheoryData<string> Codes => ["e4m3", "e5m2"];

    [Fact]
    public void Tables_are_those_that_were_generated()
    {
        Assert.Equal(GoldenTable.Hashes.Keys.Order(), GoldenTable.Files.Order());
        Assert.Equal(24, GoldenTable.Hashes.Count);
        foreach ((string name, string hash) in GoldenTable.Hashes)
            Assert.Equal($"{name} {hash}", $"{name} {GoldenTable.HashOf(GoldenTable.Read(name))}");
    }

    [Theory]
    [MemberData(nameof(Conversions))]
    public void Scalar_casts_give_the_codes_of_the_table(string from, string to)
    {
        uint[] expected = ReadConversion(from, to, out byte[] inputs);
        for (int i = 0; i < expected.Length; i++)
            CheckCode(to, SingleBits(inputs, from, i), expected[i], Cast(to, SingleBits(inputs, from, i)));
    }

    [Theory]
    [MemberData(nameof(Conversions))]
    public void Bulk_conversions_give_the_codes_of_the_table(string from, string to)
    {
        uint[] expected = ReadConversion(from, to, out byte[] inputs);
        int size = TypeOf(to).SizeBytes();
        // One byte off any alignment, and in pieces, so that tails of vectors are on the way too.
        byte[] results = new byte[(expected.Length * size) + 1];
        foreach (int piece in new[] { expected.Length, 4099 })
        {
            Array.Clear(results);
            for (int first = 0; first < expected.Length; first += piece)
            {
                int count = Math.Min(piece, expected.Length - first);
                ElementConversion.Convert(
                    inputs.AsSpan(first * TypeOf(from).SizeBytes(), count * TypeOf(from).SizeBytes()), TypeOf(from),
                    results.AsSpan(1 + (first * size), count * size), TypeOf(to));
            }

            for (int i = 0; i < expected.Length; i++)
            {
                uint code = size == 1 ? results[1 + i] : BitConverter.ToUInt16(results, 1 + (i * 2));
                CheckCode(to, SingleBits(inputs, from, i), expected[i], code);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Codes))]
    public void Every_8_bit_code_has_the_value_of_the_table(string name)
    {
        float[] expected = GoldenTable.ReadValues($"{name}-values");
        Assert.Equal(256, expected.Length);
        byte[] codes = [.. Enumerable.Range(0, 256).Select(code => (byte)code)];
        float[] bulk = new float[256];
        ElementConversion.Convert(codes, TypeOf(name), MemoryMarshal.AsBytes(bulk.AsSpan()), ElementType.Float32);
        for (int code = 0; code < 256; code++)
        {
            float scalar = name == "e4m3" ? (float)Fp8E4M3.FromBits((byte)code) : (float)Fp8E5M2.FromBits((byte)code);
            Assert.Equal(BitConverter.SingleToUInt32Bits(scalar), BitConverter.SingleToUInt32Bits(bulk[code]));
            AssertSameNumber(expected[code], scalar, $"{name} {code:X2}");
        }
    }

    [Theory]
    [MemberData(nameof(Codes))]
    public void Every_finite_code_comes_back_from_its_value(string name)
    {
        float[] values = GoldenTable.ReadValues($"{name}-values");
        int finite = 0;
        for (int code = 0; code < 256; code++)
        {
            if (!float.IsFinite(values[code]))
                continue;
            Assert.Equal((uint)code, Cast(name, BitConverter.SingleToUInt32Bits(values[code])));
            finite++;
        }

        Assert.Equal(name == "e4m3" ? 254 : 248, finite);
    }

    [Theory]
    [MemberData(nameof(Conversions))]
    public void Conversions_are_monotone_and_symmetric(string from, string to)
    {
        ReadConversion(from, to, out byte[] inputs);
        int sign = TypeOf(to).SizeBytes() == 1 ? 0x80 : 0x8000;
        uint[] magnitudes = [.. Enumerable.Range(0, inputs.Length / TypeOf(from).SizeBytes()).Select(i => SingleBits(inputs, from, i))
            .Where(bits => bits <= 0x7F80_0000).Order()];
        uint previous = 0;
        foreach (uint magnitude in magnitudes)
        {
            uint code = Cast(to, magnitude);
            Assert.Equal(code | (uint)sign, Cast(to, magnitude | 0x8000_0000));
            if (code < previous || code >= sign)
                Assert.Fail($"{to}: {magnitude:X8} became {code:X}, though what lies below it became {previous:X}.");
            previous = code;
        }
    }

    static uint[] ReadConversion(string from, string to, out byte[] inputs)
    {
        uint[] codes = GoldenTable.ReadCodes($"{from}-to-{to}", TypeOf(to).SizeBytes());
        inputs = from == "fp32"
            ? MemoryMarshal.AsBytes<uint>(
                [.. GoldenTable.SingleLows.SelectMany(low => Enumerable.Range(0, 65536), (low, high) => ((uint)high << 16) | low)]).ToArray()
            : MemoryMarshal.AsBytes<ushort>([.. Enumerable.Range(0, 65536).Select(code => (ushort)code)]).ToArray();
        Assert.Equal(inputs.Length / TypeOf(from).SizeBytes(), codes.Length);
        return codes;
    }

    static ElementType TypeOf(string name) => name switch
    {
        "fp32" => ElementType.Float32,
        "fp16" => ElementType.Float16,
        "bf16" => ElementType.BFloat16,
        "e4m3" => ElementType.Fp8E4M3,
        _ => ElementType.Fp8E5M2,
    };

    // Widening of 16-bit inputs by the platform, not by the library.
    static uint SingleBits(byte[] inputs, string from, int index) => from switch
    {
        "fp32" => BitConverter.ToUInt32(inputs, index * 4),
        "bf16" => (uint)BitConverter.ToUInt16(inputs, index * 2) << 16,
        _ => BitConverter.SingleToUInt32Bits((float)BitConverter.ToHalf(inputs, index * 2)),
    };

    static uint Cast(string to, uint singleBits)
    {
        float single = BitConverter.UInt32BitsToSingle(singleBits);
        return to switch
        {
            "bf16" => ((BFloat16)single).Bits,
            "fp16" => NarrowFloat.HalfFromSingle(singleBits),
            "e4m3" => ((Fp8E4M3)single).Bits,
            _ => ((Fp8E5M2)single).Bits,
        };
    }

    // NaN payloads are not portable: APFloat, torch and ml_dtypes each have their own. Their sign is kept.
    static void CheckCode(string to, uint input, uint expected, uint found)
    {
        uint infinity = to switch { "bf16" => 0x7F80, "fp16" => 0x7C00, "e4m3" => 0x7E, _ => 0x7C };
        uint sign = to is "bf16" or "fp16" ? 0x8000u : 0x80u;
        bool same = (expected & (sign - 1)) > infinity
            ? (found & (sign - 1)) > infinity && ((expected ^ found) & sign) == 0
            : expected == found;
        if (!same)
            Assert.Fail($"{to}: {input:X8} became {found:X}, not {expected:X}.");
    }

    static void AssertSameNumber(float expected, float found, string what)
    {
        bool same = float.IsNaN(expected)
            ? float.IsNaN(found) && float.IsNegative(expected) == float.IsNegative(found)
            : BitConverter.SingleToUInt32Bits(expected) == BitConverter.SingleToUInt32Bits(found);
        Assert.True(same, $"{what} is {found:R}, not {expected:R}.");
    }
}
