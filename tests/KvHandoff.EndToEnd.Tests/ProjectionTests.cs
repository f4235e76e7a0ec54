using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Codec;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The projection against figures worked out by hand.</summary>
public sealed class ProjectionTests
{
    [Theory]
    [InlineData(1_015_808_000, 10, 812.6464)]
    [InlineData(1_015_808_000, 100, 81.26464)]
    [InlineData(1_015_808_000, 3200, 2.53952)]
    public void Wire_time_is_bits_over_rate(long bytes, int gbit, double milliseconds) => Assert.Equal(milliseconds, Projection.WireMilliseconds(bytes, gbit), 6);

    [Fact]
    public void Prefill_of_3100_tokens_on_16_trainium3_takes_27_milliseconds() => Assert.Equal(27.1, PrefillCost.Published[0].Milliseconds(3100), 0.1);

    [Theory]
    [InlineData(80, 160, 80, 1)]       // the link is faster than prefill: only the last layer is exposed
    [InlineData(800, 80, 80, 721)]     // the link is slower: all but what overlaps with prefill
    [InlineData(80, 0, 80, 80)]        // nothing to hide behind
    [InlineData(10, 100, 1, 10)]       // one layer cannot overlap with itself
    public void Exposed_time_is_the_larger_of_its_two_bounds(double wire, double prefill, int layers, double exposed) =>
        Assert.Equal(exposed, Projection.ExposedMilliseconds(wire, prefill, layers), 9);

    [Fact]
    public void Computed_wire_bytes_are_rows_headers_and_tables()
    {
        var layout = ShapedModel.Find(ShapedModel.Default).Layout;
        // 80 layers x 49 granules: a header of 96 bytes and 16 table entries of 8 each.
        const long Framing = 80L * 49 * (96 + 16 * 8);
        Assert.Equal(1_015_808_000 + Framing, Projection.WireBytes(layout, 3100, KvCodecs.Raw));
        Assert.Equal(1_015_808_000 / 2 + 80L * 16 * 3100 * 4 + Framing, Projection.WireBytes(layout, 3100, KvCodecs.Fp8));
        // K has a scale per channel of each granule, V one per token.
        Assert.Equal(1_015_808_000 / 2 + 80L * 8 * (49 * 128 + 3100) * 4 + Framing, Projection.WireBytes(layout, 3100, KvCodecs.Int8));
    }
}
