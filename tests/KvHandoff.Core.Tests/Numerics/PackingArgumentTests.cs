using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>Every wrong argument is refused before anything is written, by a text that has the value found and what is allowed.</summary>
public class PackingArgumentTests
{
    const ElementType BF16 = ElementType.BFloat16;
    const ElementType E4M3 = ElementType.Fp8E4M3;
    const ScaleType FP32 = ScaleType.Float32;

    static byte[] Bytes(int count) => new byte[count];

    static float[] Singles(int count) => new float[count];

    // Three rows of 40 BF16 elements, 100 bytes apart: 280 bytes, 120 codes, 3 row scales, 40 channel scales, 6 group scales.
    [Fact]
    public void Right_arguments_pass_and_spans_may_be_longer()
    {
        foreach (int more in new[] { 0, 1 })
        {
            RowScaledPacking.Pack(Bytes(280 + more), 100, BF16, 3, 40, E4M3, FP32, Bytes(120 + more), Singles(3 + more));
            RowScaledPacking.Unpack(Bytes(120 + more), E4M3, 3, 40, Singles(3 + more), Bytes(280 + more), 100, BF16);
            FixedScalePacking.Pack(Bytes(280 + more), 100, BF16, 3, 40, E4M3, 1, Bytes(120 + more));
            FixedScalePacking.Unpack(Bytes(120 + more), E4M3, 3, 40, 1, Bytes(280 + more), 100, BF16);
            ChannelScaledPacking.AccumulateMagnitudes(Bytes(280 + more), 100, BF16, 3, 40, Singles(40 + more));
            ChannelScaledPacking.ScalesOf(Singles(40), E4M3, FP32, Singles(40 + more), Singles(40 + more));
            ChannelScaledPacking.Pack(Bytes(280 + more), 100, BF16, 3, 40, E4M3, Singles(40 + more), Bytes(120 + more));
            ChannelScaledPacking.Unpack(Bytes(120 + more), E4M3, 3, 40, Singles(40 + more), Bytes(280 + more), 100, BF16);
            MxPacking.Pack(Bytes(280 + more), 100, BF16, 3, 40, E4M3, MxRule.Ceiling, Bytes(120 + more), Bytes(6 + more));
            MxPacking.Unpack(Bytes(120 + more), E4M3, 3, 40, Bytes(6 + more), Bytes(280 + more), 100, BF16);
        }
    }

    [Fact]
    public void No_rows_need_no_memory()
    {
        Assert.Equal(PackFlags.None, RowScaledPacking.Pack([], 80, BF16, 0, 40, E4M3, FP32, [], []));
        RowScaledPacking.Unpack([], E4M3, 0, 40, [], [], 80, BF16);
        Assert.Equal(PackFlags.None, FixedScalePacking.Pack([], 80, BF16, 0, 40, E4M3, 1, []));
        FixedScalePacking.Unpack([], E4M3, 0, 40, 1, [], 80, BF16);
        Assert.Equal(PackFlags.None, ChannelScaledPacking.AccumulateMagnitudes([], 80, BF16, 0, 40, Singles(40)));
        ChannelScaledPacking.Pack([], 80, BF16, 0, 40, E4M3, Singles(40), []);
        ChannelScaledPacking.Unpack([], E4M3, 0, 40, Singles(40), [], 80, BF16);
        Assert.Equal(PackFlags.None, MxPacking.Pack([], 80, BF16, 0, 40, E4M3, MxRule.Floor, [], []));
        MxPacking.Unpack([], E4M3, 0, 40, [], [], 80, BF16);
    }

    [Fact]
    public void Short_spans_are_named_with_both_sizes()
    {
        Refused("source", "279", "280", () => RowScaledPacking.Pack(Bytes(279), 100, BF16, 3, 40, E4M3, FP32, Bytes(120), Singles(3)));
        Refused("codes", "119", "120", () => RowScaledPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, FP32, Bytes(119), Singles(3)));
        Refused("scales", "2", "3", () => RowScaledPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, FP32, Bytes(120), Singles(2)));
        Refused("codes", "119", "120", () => RowScaledPacking.Unpack(Bytes(119), E4M3, 3, 40, Singles(3), Bytes(280), 100, BF16));
        Refused("scales", "2", "3", () => RowScaledPacking.Unpack(Bytes(120), E4M3, 3, 40, Singles(2), Bytes(280), 100, BF16));
        Refused("destination", "279", "280", () => RowScaledPacking.Unpack(Bytes(120), E4M3, 3, 40, Singles(3), Bytes(279), 100, BF16));

        Refused("source", "279", "280", () => FixedScalePacking.Pack(Bytes(279), 100, BF16, 3, 40, E4M3, 1, Bytes(120)));
        Refused("codes", "119", "120", () => FixedScalePacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, 1, Bytes(119)));
        Refused("codes", "119", "120", () => FixedScalePacking.Unpack(Bytes(119), E4M3, 3, 40, 1, Bytes(280), 100, BF16));
        Refused("destination", "279", "280", () => FixedScalePacking.Unpack(Bytes(120), E4M3, 3, 40, 1, Bytes(279), 100, BF16));

        Refused("source", "279", "280", () => ChannelScaledPacking.AccumulateMagnitudes(Bytes(279), 100, BF16, 3, 40, Singles(40)));
        Refused("largest", "39", "40", () => ChannelScaledPacking.AccumulateMagnitudes(Bytes(280), 100, BF16, 3, 40, Singles(39)));
        Refused("scales", "39", "40", () => ChannelScaledPacking.ScalesOf(Singles(40), E4M3, FP32, Singles(39), Singles(40)));
        Refused("inverses", "39", "40", () => ChannelScaledPacking.ScalesOf(Singles(40), E4M3, FP32, Singles(40), Singles(39)));
        Refused("source", "279", "280", () => ChannelScaledPacking.Pack(Bytes(279), 100, BF16, 3, 40, E4M3, Singles(40), Bytes(120)));
        Refused("inverses", "39", "40", () => ChannelScaledPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, Singles(39), Bytes(120)));
        Refused("codes", "119", "120", () => ChannelScaledPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, Singles(40), Bytes(119)));
        Refused("codes", "119", "120", () => ChannelScaledPacking.Unpack(Bytes(119), E4M3, 3, 40, Singles(40), Bytes(280), 100, BF16));
        Refused("scales", "39", "40", () => ChannelScaledPacking.Unpack(Bytes(120), E4M3, 3, 40, Singles(39), Bytes(280), 100, BF16));
        Refused("destination", "279", "280", () => ChannelScaledPacking.Unpack(
            Bytes(120), E4M3, 3, 40, Singles(40), Bytes(279), 100, BF16));

        Refused("source", "279", "280", () => MxPacking.Pack(Bytes(279), 100, BF16, 3, 40, E4M3, MxRule.Floor, Bytes(120), Bytes(6)));
        Refused("codes", "119", "120", () => MxPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, MxRule.Floor, Bytes(119), Bytes(6)));
        Refused("scales", "5", "6", () => MxPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, MxRule.Floor, Bytes(120), Bytes(5)));
        Refused("codes", "119", "120", () => MxPacking.Unpack(Bytes(119), E4M3, 3, 40, Bytes(6), Bytes(280), 100, BF16));
        Refused("scales", "5", "6", () => MxPacking.Unpack(Bytes(120), E4M3, 3, 40, Bytes(5), Bytes(280), 100, BF16));
        Refused("destination", "279", "280", () => MxPacking.Unpack(Bytes(120), E4M3, 3, 40, Bytes(6), Bytes(279), 100, BF16));
    }

    public static TheoryData<int, int, int, string, string> Geometries => new()
    {
        { 79, 3, 40, "strideBytes", "79" },
        { 0, 3, 40, "strideBytes", "0" },
        { -100, 3, 40, "strideBytes", "-100" },
        { 100, -1, 40, "rows", "-1" },
        { 100, 3, 0, "rowLength", "0" },
        { 100, 3, -40, "rowLength", "-40" },
    };

    [Theory]
    [MemberData(nameof(Geometries))]
    public void Wrong_geometry_is_named(int strideBytes, int rows, int rowLength, string parameter, string found)
    {
        string allowed = parameter == "strideBytes" ? "80" : found;
        Refused(parameter, found, allowed, () => RowScaledPacking.Pack(
            Bytes(280), strideBytes, BF16, rows, rowLength, E4M3, FP32, Bytes(120), Singles(3)));
        Refused(parameter, found, allowed, () => RowScaledPacking.Unpack(
            Bytes(120), E4M3, rows, rowLength, Singles(3), Bytes(280), strideBytes, BF16));
        Refused(parameter, found, allowed, () => FixedScalePacking.Pack(
            Bytes(280), strideBytes, BF16, rows, rowLength, E4M3, 1, Bytes(120)));
        Refused(parameter, found, allowed, () => FixedScalePacking.Unpack(
            Bytes(120), E4M3, rows, rowLength, 1, Bytes(280), strideBytes, BF16));
        Refused(parameter, found, allowed, () => ChannelScaledPacking.AccumulateMagnitudes(
            Bytes(280), strideBytes, BF16, rows, rowLength, Singles(40)));
        Refused(parameter, found, allowed, () => ChannelScaledPacking.Pack(
            Bytes(280), strideBytes, BF16, rows, rowLength, E4M3, Singles(40), Bytes(120)));
        Refused(parameter, found, allowed, () => ChannelScaledPacking.Unpack(
            Bytes(120), E4M3, rows, rowLength, Singles(40), Bytes(280), strideBytes, BF16));
        Refused(parameter, found, allowed, () => MxPacking.Pack(
            Bytes(280), strideBytes, BF16, rows, rowLength, E4M3, MxRule.Ceiling, Bytes(120), Bytes(6)));
        Refused(parameter, found, allowed, () => MxPacking.Unpack(
            Bytes(120), E4M3, rows, rowLength, Bytes(6), Bytes(280), strideBytes, BF16));
    }

    // Products of counts must not wrap around to something small.
    [Fact]
    public void Counts_beyond_32_bits_do_not_wrap()
    {
        Refused("source", "280", "4611686011984936964", () => RowScaledPacking.Pack(
            Bytes(280), int.MaxValue, BF16, int.MaxValue, 1, E4M3, FP32, Bytes(120), Singles(3)));
        Refused("destination", "280", "4294967296", () => MxPacking.Unpack(
            Bytes(120), E4M3, 1 << 24, 128, Bytes(6), Bytes(280), 256, BF16));
        Refused("strideBytes", "16", "4294967296", () => FixedScalePacking.Pack(
            Bytes(280), 16, ElementType.Float32, 1, 1 << 30, E4M3, 1, Bytes(120)));
    }

    [Theory]
    [InlineData((ElementType)0, "0")]
    [InlineData((ElementType)9, "9")]
    [InlineData(ElementType.Fp8E4M3, "4")]
    [InlineData(ElementType.Int8, "6")]
    public void Wrong_element_types_are_named(ElementType type, string found)
    {
        Refused("from", found, "bf16", () => RowScaledPacking.Pack(Bytes(280), 100, type, 3, 40, E4M3, FP32, Bytes(120), Singles(3)));
        Refused("to", found, "bf16", () => RowScaledPacking.Unpack(Bytes(120), E4M3, 3, 40, Singles(3), Bytes(280), 100, type));
        Refused("from", found, "bf16", () => FixedScalePacking.Pack(Bytes(280), 100, type, 3, 40, E4M3, 1, Bytes(120)));
        Refused("to", found, "bf16", () => FixedScalePacking.Unpack(Bytes(120), E4M3, 3, 40, 1, Bytes(280), 100, type));
        Refused("from", found, "bf16", () => ChannelScaledPacking.AccumulateMagnitudes(Bytes(280), 100, type, 3, 40, Singles(40)));
        Refused("from", found, "bf16", () => ChannelScaledPacking.Pack(Bytes(280), 100, type, 3, 40, E4M3, Singles(40), Bytes(120)));
        Refused("to", found, "bf16", () => ChannelScaledPacking.Unpack(Bytes(120), E4M3, 3, 40, Singles(40), Bytes(280), 100, type));
        Refused("from", found, "bf16", () => MxPacking.Pack(Bytes(280), 100, type, 3, 40, E4M3, MxRule.Floor, Bytes(120), Bytes(6)));
        Refused("to", found, "bf16", () => MxPacking.Unpack(Bytes(120), E4M3, 3, 40, Bytes(6), Bytes(280), 100, type));
    }

    [Theory]
    [InlineData((ElementType)0, "0")]
    [InlineData((ElementType)7, "7")]
    [InlineData(ElementType.BFloat16, "3")]
    public void Wrong_codes_are_named(ElementType code, string found)
    {
        Refused("code", found, "fp8-e4m3", () => RowScaledPacking.Pack(Bytes(280), 100, BF16, 3, 40, code, FP32, Bytes(120), Singles(3)));
        Refused("code", found, "fp8-e4m3", () => RowScaledPacking.Unpack(Bytes(120), code, 3, 40, Singles(3), Bytes(280), 100, BF16));
        Refused("code", found, "fp8-e4m3", () => FixedScalePacking.Pack(Bytes(280), 100, BF16, 3, 40, code, 1, Bytes(120)));
        Refused("code", found, "fp8-e4m3", () => FixedScalePacking.Unpack(Bytes(120), code, 3, 40, 1, Bytes(280), 100, BF16));
        Refused("code", found, "fp8-e4m3", () => ChannelScaledPacking.ScalesOf(Singles(40), code, FP32, Singles(40), Singles(40)));
        Refused("code", found, "fp8-e4m3", () => ChannelScaledPacking.Pack(Bytes(280), 100, BF16, 3, 40, code, Singles(40), Bytes(120)));
        Refused("code", found, "fp8-e4m3", () => ChannelScaledPacking.Unpack(Bytes(120), code, 3, 40, Singles(40), Bytes(280), 100, BF16));
        Refused("code", found, "fp8-e4m3", () => MxPacking.Pack(Bytes(280), 100, BF16, 3, 40, code, MxRule.Floor, Bytes(120), Bytes(6)));
        Refused("code", found, "fp8-e4m3", () => MxPacking.Unpack(Bytes(120), code, 3, 40, Bytes(6), Bytes(280), 100, BF16));
        Refused("code", found, "fp8-e4m3", () => E8M0.FromAmax(1, code, MxRule.Floor));
    }

    [Fact]
    public void Int8_is_no_code_of_an_MX_group()
    {
        Refused("code", "6", "fp8-e4m3", () => MxPacking.Pack(
            Bytes(280), 100, BF16, 3, 40, ElementType.Int8, MxRule.Floor, Bytes(120), Bytes(6)));
        Refused("code", "6", "fp8-e4m3", () => MxPacking.Unpack(Bytes(120), ElementType.Int8, 3, 40, Bytes(6), Bytes(280), 100, BF16));
    }

    [Theory]
    [InlineData((ScaleType)0, "0")]
    [InlineData((ScaleType)200, "200")]
    [InlineData(ScaleType.E8M0, "3")]
    public void Wrong_scale_types_are_named(ScaleType type, string found)
    {
        Refused("scaleType", found, "bf16", () => RowScaledPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, type, Bytes(120), Singles(3)));
        Refused("scaleType", found, "bf16", () => ChannelScaledPacking.ScalesOf(Singles(40), E4M3, type, Singles(40), Singles(40)));
    }

    [Fact]
    public void Wrong_rules_are_named()
    {
        Refused("rule", "2", "ceiling", () => MxPacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, (MxRule)2, Bytes(120), Bytes(6)));
        Refused("rule", "255", "floor", () => E8M0.FromAmax(1, E4M3, (MxRule)255));
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(-1f)]
    [InlineData(1e-37f)]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_fixed_scale_without_a_finite_inverse_is_refused(float scale) =>
        Refused("scale", $"{scale}", "2^-120", () => FixedScalePacking.Pack(Bytes(280), 100, BF16, 3, 40, E4M3, scale, Bytes(120)));

    [Fact]
    public void Scale_types_know_their_size_and_name()
    {
        Assert.Equal(["fp32:4", "bf16:2", "e8m0:1"], Enum.GetValues<ScaleType>().Select(type => $"{type.Name()}:{type.SizeBytes()}"));
        Assert.All(Enum.GetValues<ScaleType>(), type => Assert.True(type.IsDefined()));
        foreach (ScaleType unknown in new[] { (ScaleType)0, (ScaleType)4, (ScaleType)255 })
        {
            Assert.False(unknown.IsDefined());
            Assert.Contains($"{(byte)unknown}", Assert.Throws<ArgumentOutOfRangeException>(() => unknown.SizeBytes()).Message);
            Assert.Contains($"{(byte)unknown}", Assert.Throws<ArgumentOutOfRangeException>(() => unknown.Name()).Message);
        }
    }

    static void Refused(string parameter, string found, string allowed, Action call)
    {
        ArgumentException refusal = Assert.ThrowsAny<ArgumentException>(call);
        Assert.Equal(parameter, refusal.ParamName);
        Assert.Contains(found, refusal.Message);
        Assert.Contains(allowed, refusal.Message);
    }
}
