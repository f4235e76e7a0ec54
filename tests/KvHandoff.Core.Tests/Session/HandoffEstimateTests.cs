using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>The cost model against cases worked out by hand, published measurements, and its own promises.</summary>
public sealed class HandoffEstimateTests
{
    // 2 layers, 1 head of 64: a frame of 64 tokens has 96 + 2 x 8 + 2 x 64 x 128 = 16,496 bytes, 16,384 of them rows.
    private static readonly TransferPlan Small = Plan(KvCacheLayout.Uniform(SessionFixture.Model, 2, 1, 64, ElementType.BFloat16, 64, DimensionOrder.HeadMajor));

    private static readonly LinkEstimate Slow = new(0.001, 1e6);

    [Fact]
    public void A_link_alone_takes_its_latencies_and_its_bytes()
    {
        HandoffEstimate e = HandoffEstimate.Of(Small, 256, Slow, CodecId.Raw);
        Assert.Equal((8L, 131_968L, 131_968L, 131_072L), (e.Frames, e.WireBytes, e.MaxWireBytes, e.KvBytes));
        Assert.Equal(4 + 131.968, e.P50Milliseconds, 1e-9);
        Assert.Equal(4 + 131.968, e.PessimisticMilliseconds, 1e-9);
        Assert.Null(e.TransferPays);
        // The second granule's frames hold one token: 96 + 16 + 256 bytes.
        Assert.Equal(2 * (16_496 + 368), HandoffEstimate.Of(Small, 65, Slow, CodecId.Raw).WireBytes);
    }

    [Fact]
    public void Stages_overlap_in_the_median_and_add_up_in_the_bound()
    {
        LinkEstimate link = Slow with { Codecs = [new CodecRate(CodecId.Raw, 2e6, 4e6)] };
        HandoffEstimate e = HandoffEstimate.Of(Small, 256, link, CodecId.Raw);
        // The link is the slowest stage; one frame passes the other two alone: 8.192 and 4.096 ms.
        Assert.Equal(4 + 131.968 + 8.192 + 4.096, e.P50Milliseconds, 1e-9);
        Assert.Equal(4 + 65.536 + 131.968 + 32.768, e.PessimisticMilliseconds, 1e-9);
        // 50 messages per second: 20 ms a frame is more than its 16.496 ms.
        e = HandoffEstimate.Of(Small, 256, link with { MessagesPerSecond = 50 }, CodecId.Raw);
        Assert.Equal(4 + 160 + 8.192 + 4.096, e.P50Milliseconds, 1e-9);
        Assert.Equal(4 + 65.536 + 131.968 + 160 + 32.768, e.PessimisticMilliseconds, 1e-9);
    }

    [Fact]
    public void A_slow_encoder_is_the_stage_that_counts()
    {
        LinkEstimate link = new(0, 1e9) { Codecs = [new CodecRate(CodecId.Fp8E4M3, 1e6, 1e9)] };
        HandoffEstimate e = HandoffEstimate.Of(Small, 256, link, CodecId.Fp8E4M3);
        // fp8: 64 codes and a scale of 4 bytes per row.
        Assert.Equal(8L * (96 + 16 + 2 * 64 * 68), e.WireBytes);
        Assert.Equal(131.072 + 8816e-6 + 16_384e-6, e.P50Milliseconds, 1e-9);
    }

    [Theory]
    // Mooncake's table for Qwen3-8B over 8 x RoCE, which t = 0.37 ms + S / 146 GB/s fits within 8 %.
    [InlineData(128, 0.54)]
    [InlineData(1024, 1.50)]
    [InlineData(4096, 4.75)]
    [InlineData(32768, 31.65)]
    public void Published_transfers_of_a_real_model_are_met(int tokens, double milliseconds)
    {
        TransferPlan plan = Plan(KvCacheLayout.Uniform(SessionFixture.Model, 36, 8, 128, ElementType.BFloat16, 64, DimensionOrder.HeadMajor));
        HandoffEstimate e = HandoffEstimate.Of(plan, tokens, new LinkEstimate(0.37e-3 / 4, 146e9), CodecId.Raw);
        Assert.Equal(147_456L * tokens, e.KvBytes);
        Assert.InRange(e.P50Milliseconds, milliseconds * 0.92, milliseconds * 1.08);
    }

    [Theory]
    // A sweep over EFA, fitted by 366 GB/s and 1.47 million messages per second: 64 KiB reach 97 GB/s, 128 KiB 191, 512 KiB 358.
    [InlineData(2, 97)]
    [InlineData(4, 191)]
    [InlineData(16, 358)]
    public void A_message_rate_bounds_small_frames(int kvHeads, double gigabytesPerSecond)
    {
        var link = new LinkEstimate(0, 366e9) { MessagesPerSecond = 1.47e6 };
        TransferPlan plan = Plan(KvCacheLayout.Uniform(SessionFixture.Model, 4, kvHeads, 128, ElementType.BFloat16, 64, DimensionOrder.HeadMajor));
        HandoffEstimate e = HandoffEstimate.Of(plan, 64 * 100, link, CodecId.Raw);
        Assert.InRange(e.KvBytes / (e.P50Milliseconds * 1e6), gigabytesPerSecond * 0.96, gigabytesPerSecond * 1.04);
        Assert.Equal(1.47e6 * 1000, link.RateOf(1000.0));
        Assert.Equal(366e9, link.RateOf(1e6));
    }

    [Fact]
    public void Recomputing_is_advised_where_prefill_is_faster()
    {
        // 136 ms to hand 256 tokens over.
        HandoffEstimate slow = HandoffEstimate.Of(Small, 256, Slow, CodecId.Raw, prefillTokensPerSecond: 1000), fast = HandoffEstimate.Of(Small, 256, Slow, CodecId.Raw, prefillTokensPerSecond: 2000);
        Assert.Equal((true, 256.0), (slow.TransferPays, slow.RecomputeMilliseconds));
        Assert.Equal((false, 128.0), (fast.TransferPays, fast.RecomputeMilliseconds));
        Assert.Contains("transfer", slow.ToString(), StringComparison.Ordinal);
        Assert.Contains("recompute", fast.ToString(), StringComparison.Ordinal);
        // Two layers: prefill hides half of itself, 128 of 256 ms; half of the transfer stays exposed at least.
        Assert.Equal(slow.P50Milliseconds / 2, slow.ExposedMilliseconds!.Value, 1e-9);
        Assert.Equal(fast.P50Milliseconds - 64, fast.ExposedMilliseconds!.Value, 1e-9);
        Assert.Equal(131_968 / 0.256, slow.HidingBytesPerSecond!.Value, 1e-6);
    }

    [Fact]
    public void A_lossless_codec_is_chosen_where_the_link_is_what_limits()
    {
        LinkEstimate link = new(0, 1e9) { Codecs = [new CodecRate(CodecId.Raw, 10e9, 10e9), new CodecRate(CodecId.ExponentWindow, 4e9, 5e9) { Ratio = 1.4 }] };
        Assert.Equal(CodecId.ExponentWindow, HandoffEstimate.Of(Small, 6400, link, CodecId.Auto).Codec);
        Assert.Equal(CodecId.Raw, HandoffEstimate.Of(Small, 6400, link with { BytesPerSecond = 8e9 }, CodecId.Auto).Codec);
        HandoffEstimate coded = HandoffEstimate.Of(Small, 6400, link, CodecId.ExponentWindow);
        // 200 frames of 16,384 bytes of rows over 1.4, with 112 bytes before each.
        Assert.Equal(200 * (16_384 / 1.4 + 112), coded.WireBytes, 1.0);
        Assert.True(coded.MaxWireBytes > coded.WireBytes);
    }

    [Fact]
    public void Nothing_gets_slower_with_a_better_path_or_faster_with_more_tokens()
    {
        var random = new Random(11);
        for (int i = 0; i < 300; i++)
        {
            CodecId codec = (CodecId)random.Next(5);
            int tokens = random.Next(1, 3000);
            LinkEstimate link = new(random.NextDouble() * 1e-3, Rate(random)) { MessagesPerSecond = Rate(random) / 1e4, Codecs = [new CodecRate(codec, Rate(random), Rate(random))] };
            HandoffEstimate e = HandoffEstimate.Of(Small, tokens, link, codec);
            Assert.True(e.PessimisticMilliseconds >= e.P50Milliseconds * (1 - 1e-12), $"{e}");
            AssertNotSlower(e, link with { BytesPerSecond = link.BytesPerSecond * (1 + random.NextDouble()) });
            AssertNotSlower(e, link with { MessagesPerSecond = link.MessagesPerSecond * (1 + random.NextDouble()) });
            AssertNotSlower(e, link with { LatencySeconds = link.LatencySeconds * random.NextDouble() });
            AssertNotSlower(e, link with { Codecs = [new CodecRate(codec, link.Codecs[0].EncodeBytesPerSecond * 2, link.Codecs[0].DecodeBytesPerSecond * 2)] });
            HandoffEstimate more = HandoffEstimate.Of(Small, tokens + random.Next(1, 200), link, codec);
            Assert.True(more.P50Milliseconds >= e.P50Milliseconds && more.PessimisticMilliseconds >= e.PessimisticMilliseconds && more.WireBytes >= e.WireBytes, $"{e}, but {more}");

            void AssertNotSlower(HandoffEstimate than, LinkEstimate better)
            {
                HandoffEstimate changed = HandoffEstimate.Of(Small, tokens, better, codec);
                Assert.True(changed.P50Milliseconds <= than.P50Milliseconds && changed.PessimisticMilliseconds <= than.PessimisticMilliseconds, $"{than}, but {changed} over {better}");
            }
        }

        static double Rate(Random random) => Math.Pow(10, 6 + 4 * random.NextDouble());
    }

    [Fact]
    public async Task The_bytes_are_those_of_a_real_handoff()
    {
        foreach (CodecId codec in new[] { CodecId.Raw, CodecId.Fp8E4M3, CodecId.Int8, CodecId.MxFp8 })
        {
            await using SessionFixture f = await SessionFixture.StartAsync(target: SessionFixture.Layout(blockTokens: 16, order: DimensionOrder.TokenMajor), codec: codec);
            using KvSequence sequence = SessionFixture.Fill(f.Source, 300, seed: 3);
            (KvSequence landed, HandoffCost cost, _) = await f.HandOverAsync(sequence);
            landed.Dispose();
            HandoffEstimate e = HandoffEstimate.Of(f.Sender.Plan, 300, Slow, codec);
            Assert.Equal((cost.WireBytes, cost.WireBytes, cost.KvBytes), (e.WireBytes, e.MaxWireBytes, e.KvBytes));
        }
    }

    [Fact]
    public void What_is_out_of_range_is_named()
    {
        Refuses("latency is -1", () => HandoffEstimate.Of(Small, 1, new LinkEstimate(-1, 1), CodecId.Raw));
        Refuses("bandwidth in bytes per second is 0", () => HandoffEstimate.Of(Small, 1, new LinkEstimate(0, 0), CodecId.Raw));
        Refuses("messages per second is NaN", () => HandoffEstimate.Of(Small, 1, Slow with { MessagesPerSecond = double.NaN }, CodecId.Raw));
        Refuses("decode rate of Raw is -2", () => HandoffEstimate.Of(Small, 1, Slow with { Codecs = [new CodecRate(CodecId.Raw, 1, -2)] }, CodecId.Raw));
        Refuses("ratio of Lz4 is 0.5", () => HandoffEstimate.Of(Small, 1, Slow with { Codecs = [new CodecRate(CodecId.Lz4, 1, 1) { Ratio = 0.5 }] }, CodecId.Raw));
        Refuses("prefill rate is 0", () => HandoffEstimate.Of(Small, 1, Slow, CodecId.Raw, 0));
        Refuses("0 tokens", () => HandoffEstimate.Of(Small, 0, Slow, CodecId.Raw));
        Refuses("unknown", () => HandoffEstimate.Of(Small, 1, Slow, (CodecId)99));

        static void Refuses(string text, Action action) => Assert.Contains(text, Assert.ThrowsAny<ArgumentException>(action).Message, StringComparison.Ordinal);
    }

    private static TransferPlan Plan(KvCacheLayout layout)
    {
        Assert.True(TransferPlan.TryCreate(layout, layout, out TransferPlan? plan, out string? reason), reason);
        return plan!;
    }
}
