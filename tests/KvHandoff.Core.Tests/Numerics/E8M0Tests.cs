using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>E8M0 against tables that APFloat computed: each byte's value, and the byte for each largest magnitude.</summary>
public class E8M0Tests
{
    public static TheoryData<string, ElementType, MxRule> Rules => new()
    {
        { "e8m0-ceiling-e4m3", ElementType.Fp8E4M3, MxRule.Ceiling },
        { "e8m0-floor-e4m3", ElementType.Fp8E4M3, MxRule.Floor },
        { "e8m0-ceiling-e5m2", ElementType.Fp8E5M2, MxRule.Ceiling },
        { "e8m0-floor-e5m2", ElementType.Fp8E5M2, MxRule.Floor },
    };

    [Fact]
    public void Every_byte_has_the_value_of_the_table()
    {
        float[] expected = GoldenTable.ReadValues("e8m0-values");
        for (int code = 0; code < 256; code++)
        {
            E8M0 scale = E8M0.FromBits((byte)code);
            Assert.Equal(code, scale.Bits);
            Assert.Equal(expected[code], (float)scale);
        }

        Assert.Equal(float.NaN, expected[255]);
        // A subnormal binary32: it must not have been flushed to zero.
        Assert.Equal(0x0040_0000u, BitConverter.SingleToUInt32Bits((float)E8M0.FromBits(0)));
        Assert.Equal(1f, (float)E8M0.FromBits(127));
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void Every_magnitude_takes_the_byte_of_the_table(string table, ElementType code, MxRule rule)
    {
        byte[] expected = GoldenTable.Read(table);
        Assert.Equal(GoldenTable.MagnitudeLows.Length * GoldenTable.FiniteHighs, expected.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            uint bits = ((uint)(i % GoldenTable.FiniteHighs) << 16) | GoldenTable.MagnitudeLows[i / GoldenTable.FiniteHighs];
            byte found = E8M0.FromAmax(BitConverter.UInt32BitsToSingle(bits), code, rule).Bits;
            if (found != expected[i])
                Assert.Fail($"amax {bits:X8} took {found}, not {expected[i]}.");
        }
    }

    [Fact]
    public void What_is_not_finite_has_no_scale_and_signs_do_not_matter()
    {
        foreach (MxRule rule in new[] { MxRule.Ceiling, MxRule.Floor })
        {
            foreach (float special in new[] { float.NaN, -float.NaN, float.PositiveInfinity, float.NegativeInfinity })
                Assert.Equal(0xFF, E8M0.FromAmax(special, ElementType.Fp8E4M3, rule).Bits);
            Assert.Equal(127, E8M0.FromAmax(-448, ElementType.Fp8E4M3, rule).Bits);
            Assert.Equal(0, E8M0.FromAmax(-0f, ElementType.Fp8E4M3, rule).Bits);
        }

        Assert.Equal(128, E8M0.FromAmax(448.0001f, ElementType.Fp8E4M3, MxRule.Ceiling).Bits);
        Assert.Equal(127, E8M0.FromAmax(511, ElementType.Fp8E4M3, MxRule.Floor).Bits);
    }

    [Fact]
    public void Equality_compares_bits()
    {
        Assert.Equal(E8M0.FromBits(0xFF), E8M0.FromBits(0xFF));
        Assert.True(E8M0.FromBits(1) != E8M0.FromBits(2));
        Assert.True(E8M0.FromBits(3) == E8M0.FromBits(3));
        Assert.False(E8M0.FromBits(3).Equals((object)3));
        Assert.Equal("0.5", E8M0.FromBits(126).ToString());
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void The_form_for_groups_gives_the_same_bytes(string table, ElementType code, MxRule rule)
    {
        Assert.NotEmpty(table);
        uint largest = BitConverter.SingleToUInt32Bits((float)PackingReference.Largest(code));
        // Every BF16 magnitude, infinities and NaNs among them, with fractions around that of the largest code below it.
        for (uint bits = 0; bits < 0x8000; bits++)
        {
            foreach (uint below in new uint[] { 0, 1, 0x7FFF, 0xFFFF })
            {
                uint magnitude = (bits << 16) | below;
                Assert.Equal(E8M0.FromAmax(BitConverter.UInt32BitsToSingle(magnitude), code, rule).Bits, E8M0.FromMagnitude(magnitude, largest, code, rule).Bits);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void The_byte_never_falls_as_the_magnitude_grows(string table, ElementType code, MxRule rule)
    {
        Assert.NotEmpty(table);
        byte previous = 0;
        for (uint bits = 0; bits < 0x7F80_0000; bits += 39_989)
        {
            float amax = BitConverter.UInt32BitsToSingle(bits);
            byte found = E8M0.FromAmax(amax, code, rule).Bits;
            Assert.True(found >= previous, $"{amax:R} took {found} after {previous}.");
            if (rule == MxRule.Ceiling)
                Assert.True(amax <= PackingReference.Largest(code) * (double)(float)E8M0.FromBits(found));
            previous = found;
        }
    }
}
