using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>The scalar definition of each format against the format's own text.</summary>
public class NarrowFormatTests
{
    public static TheoryData<string> Formats => ["bf16", "fp16", "fp8-e4m3", "fp8-e5m2"];

    // Table 1 of OCP OFP8 1.0.
    [Theory]
    [InlineData(0x00, 0.0)]
    [InlineData(0x01, 0.001953125)]
    [InlineData(0x07, 0.013671875)]
    [InlineData(0x08, 0.015625)]
    [InlineData(0x38, 1.0)]
    [InlineData(0x7E, 448.0)]
    [InlineData(0xFE, -448.0)]
    public void E4M3_codes_have_their_published_values(int code, double value)
    {
        Assert.Equal(value, (float)Fp8E4M3.FromBits((byte)code));
        Assert.Equal(code, ((Fp8E4M3)(float)value).Bits);
    }

    [Theory]
    [InlineData(0x01, 1.52587890625e-05)]
    [InlineData(0x03, 4.57763671875e-05)]
    [InlineData(0x04, 6.103515625e-05)]
    [InlineData(0x3C, 1.0)]
    [InlineData(0x7B, 57344.0)]
    [InlineData(0xFB, -57344.0)]
    public void E5M2_codes_have_their_published_values(int code, double value)
    {
        Assert.Equal(value, (float)Fp8E5M2.FromBits((byte)code));
        Assert.Equal(code, ((Fp8E5M2)(float)value).Bits);
    }

    [Fact]
    public void Special_codes_have_their_published_meaning()
    {
        Assert.True(float.IsNaN((float)Fp8E4M3.FromBits(0x7F)));
        Assert.True(float.IsNaN((float)Fp8E4M3.FromBits(0xFF)));
        Assert.Equal(float.PositiveInfinity, (float)Fp8E5M2.FromBits(0x7C));
        Assert.Equal(float.NegativeInfinity, (float)Fp8E5M2.FromBits(0xFC));
        foreach (int code in new[] { 0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF })
            Assert.True(float.IsNaN((float)Fp8E5M2.FromBits((byte)code)));
    }

    [Theory]
    [InlineData(0.0009765625f, 0x00)]
    [InlineData(0.00097656256f, 0x01)]
    [InlineData(0.0029296875f, 0x02)]
    [InlineData(464f, 0x7E)]
    [InlineData(1e30f, 0x7E)]
    [InlineData(float.PositiveInfinity, 0x7E)]
    [InlineData(float.NegativeInfinity, 0xFE)]
    [InlineData(-0f, 0x80)]
    public void E4M3_rounds_ties_to_even_and_saturates(float value, int code) => Assert.Equal(code, ((Fp8E4M3)value).Bits);

    [Theory]
    [InlineData(61440f, 0x7B)]
    [InlineData(float.PositiveInfinity, 0x7B)]
    [InlineData(float.NegativeInfinity, 0xFB)]
    [InlineData(-0f, 0x80)]
    public void E5M2_saturates(float value, int code) => Assert.Equal(code, ((Fp8E5M2)value).Bits);

    [Theory]
    [MemberData(nameof(Formats))]
    public void Every_code_has_the_value_of_its_definition_and_comes_back(string name)
    {
        NarrowFormat format = NarrowFormat.Named(name);
        foreach (int sign in new[] { 0, format.Definition.SignBit })
        {
            for (int code = sign; code <= (sign | format.Definition.Largest); code++)
            {
                uint single = format.Decode((uint)code);
                double expected = format.Definition.Value(code);
                Assert.Equal(BitConverter.DoubleToUInt64Bits(expected), BitConverter.DoubleToUInt64Bits(BitConverter.UInt32BitsToSingle(single)));
                Assert.Equal((uint)code, format.Encode(single));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Rounding_finds_the_nearest_value_with_ties_to_even(string name)
    {
        NarrowFormat format = NarrowFormat.Named(name);
        var random = new Random(11);
        IEnumerable<float> numbers = format.Definition.Landmarks()
            .Concat(Enumerable.Range(0, 300_000).Select(_ => BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue))));
        foreach (float number in numbers)
        {
            if (float.IsNaN(number))
                continue;
            uint code = format.Encode(BitConverter.SingleToUInt32Bits(number));
            int expected = format.Definition.Nearest(number);
            if (code != expected)
                Assert.Fail($"{name}: {number:R} became {code:X}, nearest is {expected:X}.");
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void NaN_stays_a_quiet_NaN_of_its_sign(string name)
    {
        NarrowFormat format = NarrowFormat.Named(name);
        foreach (uint nan in new uint[] { 0x7FC0_0000, 0xFFC0_0000, 0x7F80_0001, 0xFF80_0001, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FA5_5A5A })
        {
            uint code = format.Encode(nan);
            Assert.Equal(nan >> 31, code / (uint)format.Definition.SignBit);
            uint back = format.Decode(code);
            Assert.True(float.IsNaN(BitConverter.UInt32BitsToSingle(back)));
            Assert.Equal(0x0040_0000u, back & 0x0040_0000);
            Assert.Equal(nan >> 31, back >> 31);
        }

        Assert.Equal((uint)format.Definition.NaN, format.Encode(0x7FC0_0000));
    }

    [Fact]
    public void Half_agrees_with_the_platform_but_for_NaN_payloads()
    {
        for (int code = 0; code <= ushort.MaxValue; code++)
        {
            Half half = BitConverter.UInt16BitsToHalf((ushort)code);
            if (Half.IsNaN(half))
                continue;
            Assert.Equal(BitConverter.SingleToUInt32Bits((float)half), NarrowFloat.HalfToSingle((uint)code));
        }

        foreach (float number in FormatDefinition.Half.Landmarks())
            Assert.Equal(BitConverter.HalfToUInt16Bits((Half)number), NarrowFloat.HalfFromSingle(BitConverter.SingleToUInt32Bits(number)));
    }

    [Fact]
    public void Equality_compares_bits()
    {
        Assert.Equal(BFloat16.FromBits(0x7FC0), BFloat16.FromBits(0x7FC0));
        Assert.True(Fp8E4M3.FromBits(0) != Fp8E4M3.FromBits(0x80));
        Assert.True(Fp8E5M2.FromBits(1) == Fp8E5M2.FromBits(1));
        Assert.False(BFloat16.FromBits(1).Equals((object)1));
        Assert.Equal("1.5", ((BFloat16)1.5f).ToString());
    }

    [Fact]
    public void Element_types_know_their_size_and_name()
    {
        Assert.Equal(
            ["fp32:4", "fp16:2", "bf16:2", "fp8-e4m3:1", "fp8-e5m2:1", "int8:1"],
            Enum.GetValues<ElementType>().Select(type => $"{type.Name()}:{type.SizeBytes()}"));
        foreach (ElementType unknown in new[] { (ElementType)0, (ElementType)7, (ElementType)255 })
        {
            Assert.False(unknown.IsDefined());
            Assert.Contains($"{(byte)unknown}", Assert.Throws<ArgumentOutOfRangeException>(() => unknown.SizeBytes()).Message);
            Assert.Throws<ArgumentOutOfRangeException>(() => unknown.Name());
        }
    }
}
