using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Tests.CostModel;

/// <summary>Llama-3.3-70B from 16 Trainium3 to CS-3, worked by hand.</summary>
public sealed class WorkedExampleTests
{
    private const int K32 = 32_768, K128 = 131_072, M2 = 2_097_152;

    private static readonly HardwareCatalogue Catalogue = HardwareCatalogue.Default();
    private static readonly ModelGeometry Llama = Catalogue.Models["llama-3.3-70b"];
    private static readonly Node Trainium = Catalogue.Nodes["trn3-16"];

    [Theory]
    [InlineData("llama-3.3-70b", 327_680)]
    [InlineData("llama-3.1-70b", 327_680)]
    [InlineData("llama-3.1-405b", 516_096)]
    [InlineData("llama-3.1-8b", 131_072)]
    [InlineData("deepseek-v3", 70_272)]
    [InlineData("kimi-k2", 70_272)]
    [InlineData("qwen3-235b-a22b", 192_512)]
    [InlineData("qwen3-8b", 147_456)]
    [InlineData("gpt-oss-120b", 73_728)]
    [InlineData("reference", 6_144)]
    public void Bytes_per_token(string model, double bytes)
    {
        Assert.Equal(bytes, KvSize.BytesPerToken(Catalogue.Models[model], KvSize.Bf16Bytes));
        Assert.Equal(bytes / 2, KvSize.BytesPerToken(Catalogue.Models[model], KvSize.Fp8Bytes));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(128)]
    [InlineData(5000)]
    public void A_sliding_window_keeps_no_more_than_itself(int tokens)
    {
        ModelGeometry model = Catalogue.Models["gpt-oss-120b"];
        Assert.Equal(36_864.0 * tokens + 36_864.0 * Math.Min(tokens, 128), KvSize.Bytes(model, tokens, KvSize.Bf16Bytes));
        Assert.Equal(tokens, KvSize.TokensIn(model, KvSize.Bytes(model, tokens, KvSize.Bf16Bytes), KvSize.Bf16Bytes), 3);
    }

    [Fact]
    public void The_prompt_of_the_design_is_1_015_808_000_bytes_and_81_3_milliseconds_at_100_gigabits()
    {
        double bytes = KvSize.Bytes(Llama, 3100, KvSize.Bf16Bytes);
        Assert.Equal(1_015_808_000, bytes);
        Assert.Equal(81.3, bytes / Catalogue.Links["100G"].BytesPerSecond * 1e3, 0.05);
    }

    [Theory]
    [InlineData(50, 6.85e12)]
    [InlineData(1700, 2.37e14)]
    [InlineData(3100, 4.37e14)]
    [InlineData(K32, 5.89e15)]
    [InlineData(K128, 4.05e16)]
    [InlineData(M2, 6.05e18)]
    public void Operations_of_a_prompt(double tokens, double flops) => Assert.InRange(PrefillTime.Flops(Llama, tokens) / flops, 0.995, 1.005);

    [Fact]
    public void Attention_costs_as_much_as_the_rest_at_104448_tokens() => Assert.InRange(PrefillTime.BalanceTokens(Llama), 104_400, 104_500);

    [Theory]
    [InlineData("trn3-1", nameof(Precision.Fp8), 3100, 434)]
    [InlineData("trn3-16", nameof(Precision.Bf16), 3100, 102)]
    [InlineData("trn3-16", nameof(Precision.Fp8), 1700, 14.7)]
    [InlineData("trn3-16", nameof(Precision.Fp8), 3100, 27.1)]
    [InlineData("trn3-16", nameof(Precision.Fp8), K32, 366)]
    [InlineData("trn3-16", nameof(Precision.Fp8), K128, 2510)]
    [InlineData("trn3-144", nameof(Precision.Fp8), M2, 41_700)]
    [InlineData("trn2-16", nameof(Precision.Fp8), 3100, 52.6)]
    [InlineData("h100-8", nameof(Precision.Bf16), 3100, 138)]
    public void Prefill_time(string node, string precision, double tokens, double milliseconds) =>
        Assert.InRange(PrefillTime.Seconds(Llama, Catalogue.Nodes[node], Enum.Parse<Precision>(precision), tokens) * 1e3 / milliseconds, 0.99, 1.01);

    [Theory]
    [InlineData(1700, 10, 431)]
    [InlineData(1700, 100, 30.1)]
    [InlineData(1700, 400, 0.139)]
    [InlineData(3100, 10, 786)]
    [InlineData(3100, 100, 54.5)]
    [InlineData(3100, 400, 0.254)]
    [InlineData(3100, 1200, 0.085)]
    [InlineData(3100, 3200, 0.032)]
    [InlineData(K32, 100, 498)]
    [InlineData(K32, 1200, 0.90)]
    [InlineData(K128, 100, 956)]
    [InlineData(K128, 1200, 3.6)]
    [InlineData(M2, 100, 687)]
    [InlineData(M2, 1200, 57)]
    public void Exposed_time_layer_by_layer(double tokens, double gigabits, double milliseconds)
    {
        double prefill = PrefillTime.Seconds(Llama, Trainium, Precision.Fp8, tokens);
        PipelinedTransfer transfer = PipelinedTransfer.Of(prefill, KvSize.Bytes(Llama, tokens, KvSize.Bf16Bytes), 80, new TransferTime(gigabits * 1e9 / 8, 0));
        Assert.InRange(transfer.ExposedSeconds * 1e3 / milliseconds, 0.985, 1.015);
    }

    [Theory]
    [InlineData(3100, 100, 0.33)]
    [InlineData(K32, 100, 0.42)]
    [InlineData(K128, 100, 0.72)]
    [InlineData(M2, 10, 0.67)]
    public void Share_that_prefill_hides(double tokens, double gigabits, double share)
    {
        double prefill = PrefillTime.Seconds(Llama, Trainium, Precision.Fp8, tokens);
        Assert.Equal(share, PipelinedTransfer.Of(prefill, KvSize.Bytes(Llama, tokens, KvSize.Bf16Bytes), 80, new TransferTime(gigabits * 1e9 / 8, 0)).HiddenShare, 0.006);
    }

    // The short prompt's 308 Gb/s is that of a vanishing one: k C / a.
    [Theory]
    [InlineData(50, 308)]
    [InlineData(K32, 235)]
    [InlineData(K128, 137)]
    [InlineData(M2, 15)]
    public void Bandwidth_that_hides_all_but_the_last_layer(double tokens, double gigabits)
    {
        double compute = PrefillTime.Flops(Llama, tokens) / Trainium.EffectiveFlops(Precision.Fp8, tokens);
        Assert.InRange(PipelinedTransfer.HidingBytesPerSecond(compute, KvSize.Bytes(Llama, tokens, KvSize.Bf16Bytes)) * 8 / 1e9 / gigabits, 0.96, 1.04);
    }

    [Theory]
    [InlineData(1700, 62)]
    [InlineData(3100, 34)]
    [InlineData(K32, 3)]
    [InlineData(K128, 0)]
    public void Contexts_beside_the_weights_on_four_wafers(int tokens, int contexts)
    {
        DecodeCapacity capacity = DecodeCapacity.Of(Llama, Catalogue.Nodes["cs3-4"], Precision.Bf16);
        Assert.Equal(contexts, (int)capacity.Contexts(Llama, tokens, 0, KvSize.Bf16Bytes));
    }

    [Theory]
    [InlineData("llama-3.3-70b", nameof(Precision.Bf16), 4)]
    [InlineData("llama-3.3-70b", nameof(Precision.Fp8), 2)]
    [InlineData("llama-3.1-405b", nameof(Precision.Bf16), 21)]
    [InlineData("deepseek-v3", nameof(Precision.Fp8), 17)]
    [InlineData("kimi-k2", nameof(Precision.Fp8), 26)]
    [InlineData("qwen3-235b-a22b", nameof(Precision.Bf16), 12)]
    [InlineData("gpt-oss-120b", nameof(Precision.Int4), 2)]
    public void Wafers_for_the_weights(string model, string weights, int wafers) =>
        Assert.Equal(wafers, DecodeCapacity.PartsFor(PrefillTime.WeightBytes(Catalogue.Models[model].Parameters, Enum.Parse<Precision>(weights)), 44e9, 0.9));

    [Theory]
    [InlineData(3100, 110, 1.2, nameof(LimitingResource.Link), 4.0)]
    [InlineData(3100, 110, 4.8, nameof(LimitingResource.Decode), 6.2)]
    [InlineData(3100, 1700, 1.2, nameof(LimitingResource.Decode), 0.40)]
    [InlineData(K32, 1000, 1.2, nameof(LimitingResource.Memory), 2.5)]
    [InlineData(3100, 20_000, 1.2, nameof(LimitingResource.Memory), 0.01)]
    public void Prefill_nodes_until_something_else_limits(double prompt, double output, double terabits, string resource, double nodes)
    {
        DecodeCapacity capacity = DecodeCapacity.Of(Llama, Catalogue.Nodes["cs3-4"], Precision.Bf16);
        var saturation = Saturation.Of(PrefillTime.Seconds(Llama, Trainium, Precision.Fp8, prompt), KvSize.Bytes(Llama, prompt, KvSize.Bf16Bytes), terabits * 1e12 / 8,
            capacity.Contexts(Llama, prompt, output, KvSize.Bf16Bytes), output / 2200, 25_000, output);
        Assert.Equal(Enum.Parse<LimitingResource>(resource), saturation.CeilingResource);
        Assert.Equal(nodes, saturation.PrefillNodes, nodes < 0.1 ? 0.005 : 0.06);
        Assert.Equal(LimitingResource.Prefill, saturation.Limit(nodes * 0.5));
        Assert.Equal(saturation.Ceiling, saturation.Throughput(nodes * 2), 9);
    }

    [Fact]
    public void A_lossless_codec_pays_below_9_gigabits_in_steps_and_below_80_overlapped()
    {
        var codec = new CodecCost(1.3, 10e9, 10e9);
        Assert.Equal(9.2, codec.SerialBreakEven * 8 / 1e9, 0.1);
        Assert.Equal(80, codec.OverlappedBreakEven * 8 / 1e9, 9);
        const double Bytes = 1e9;
        foreach ((double at, bool isSerial) in new[] { (codec.SerialBreakEven, true), (codec.OverlappedBreakEven, false) })
        {
            double Coded(double rate) => isSerial ? codec.SerialSeconds(Bytes, rate) : codec.OverlappedSeconds(Bytes, rate);
            Assert.True(Coded(at * 0.99) < Bytes / (at * 0.99));
            Assert.True(Coded(at * 1.01) > Bytes / (at * 1.01));
        }

        Assert.Equal(1.3, Bytes / codec.FullGainBelow / codec.OverlappedSeconds(Bytes, codec.FullGainBelow), 9);
        Assert.Equal(0, new CodecCost(1, 1e9, 1e9).OverlappedBreakEven);
    }

    [Fact]
    public void A_disaggregated_request_ends_first_once_its_tokens_have_paid_for_the_handoff()
    {
        var apart = new ServedRequest(0.1, 0.05, 0.001);
        var together = new ServedRequest(0.12, 0, 0.005);
        double tokens = ColocatedComparison.BreakEvenTokens(apart, together);
        Assert.Equal(together.Seconds(tokens), apart.Seconds(tokens), 12);
        Assert.Equal(7.5, tokens, 9);
        Assert.Equal(double.PositiveInfinity, ColocatedComparison.BreakEvenTokens(apart with { TokenSeconds = 0.005 }, together));
        Assert.Equal(0, ColocatedComparison.BreakEvenTokens(apart with { ExposedSeconds = 0 }, together));
        Assert.Equal(47, ColocatedComparison.PromptPerOutputFor(5, 26_000, 2200), 0.5);
        // Half of the time for each: half of the decode rate.
        Assert.Equal(5, ColocatedComparison.ColocatedThroughput(0.1, 10), 9);
        Assert.Equal(0, ColocatedComparison.ColocatedThroughput(0.1, 0));
        Assert.Equal(230, ColocatedComparison.HandoffTokens(0.1, 1 / 2300.0), 9);
    }

    [Fact]
    public void A_message_rate_limits_small_messages_and_stalls_are_exposed()
    {
        Deployment whole = new() { Model = Llama, Prefill = Trainium, Decode = Catalogue.Nodes["cs3-4"], Link = Catalogue.Links["efa-3.2T"], Codec = Catalogue.Codecs["raw"] };
        double bytes = whole.WireBytes(3100);
        // 16 KiB at 1.47 M messages per second are 24 GB/s; the unit's fixed cost comes on top.
        Deployment cut = whole with { MessageBytes = 16_384 };
        Assert.Equal(bytes / (16_384 * 1.47e6) + 80 * 20e-6, cut.Transfer(3100).WireSeconds, 1e-9);
        Assert.Equal(bytes / 366e9 + 80 * 20e-6, whole.Transfer(3100).WireSeconds, 1e-5);
        Assert.Equal(whole.Transfer(3100).ExposedSeconds + 80 * 1e-4, (whole with { StallSeconds = 1e-4 }).Transfer(3100).ExposedSeconds, 1e-9);
        Assert.Equal(whole.PrefillSeconds(3100), (whole with { StallSeconds = 1e-4 }).Transfer(3100).PrefillSeconds);
    }

    [Fact]
    public void The_best_number_of_units_is_the_closed_forms()
    {
        var link = new TransferTime(50e9, 1e-3);
        double prefill = 0.2, bytes = 5e9;
        Assert.InRange(PipelinedTransfer.Best(prefill, bytes, 1000, link).Units, Math.Floor(PipelinedTransfer.BestUnits(prefill, bytes, link)) - 1, Math.Ceiling(PipelinedTransfer.BestUnits(prefill, bytes, link)) + 1);
    }
}
