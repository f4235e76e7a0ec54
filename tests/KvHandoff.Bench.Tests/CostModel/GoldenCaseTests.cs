using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Tests.CostModel;

/// <summary>Figures that others published, from the formulas of this program: cases V1 to V15 as far as their data allows; V5 to V7 are with the simulation.</summary>
public sealed class GoldenCaseTests
{
    private static readonly HardwareCatalogue Catalogue = HardwareCatalogue.Default();

    private static ModelGeometry Model(string name) => Catalogue.Models[name];

    /// <summary>V1: Mooncake, FAST'25, equation 2, LLaMA3-70B, prefix 8,192: 6 GB/s on 8 A800, 19 GB/s on 8 H800.</summary>
    [Theory]
    [InlineData(312e12, 5.86, 6)]
    [InlineData(989e12, 18.57, 19)]
    public void V1_bandwidth_from_which_a_cached_prefix_pays(double chipFlops, double expected, double published)
    {
        double gigabytes = PrefixReuse.LeastBytesPerSecond(8 * chipFlops, 8192, 2, 8, 8192) / 1e9;
        Assert.Equal(expected, gigabytes, 0.005);
        Assert.Equal(published, Math.Round(gigabytes));
    }

    /// <summary>V2: Mooncake says that 128K tokens of LLaMA3-70B are 40 GB.</summary>
    [Fact]
    public void V2_bytes_of_128K_tokens() => Assert.Equal(40.0 * (1L << 30), KvSize.Bytes(Model("llama-3-70b"), 131_072, KvSize.Bf16Bytes));

    /// <summary>V3: Mooncake with vLLM, Qwen3-8B over 8 RoCE ports, near 0.37 ms + S / 146 GB/s, and within 7 % of the line that is fitted here.</summary>
    [Fact]
    public void V3_a_line_through_Mooncakes_transfer_times()
    {
        (int Tokens, double Ms)[] measured = [(128, .54), (256, .61), (512, .92), (1024, 1.50), (2048, 2.51), (4096, 4.75), (8192, 8.84), (16_384, 16.43), (32_768, 31.65)];
        (double Bytes, double Seconds)[] points = [.. measured.Select(m => (KvSize.Bytes(Model("qwen3-8b"), m.Tokens, KvSize.Bf16Bytes), m.Ms / 1e3))];
        var published = new TransferTime(146e9, 0.37e-3);
        Assert.All(points, p => Assert.InRange(published.StoreAndForwardSeconds(p.Bytes, 1) / p.Seconds, 1 - 0.077, 1 + 0.058));
        LineFit fit = LineFit.Of(points);
        Assert.All(points, p => Assert.InRange(fit.Seconds(p.Bytes) / p.Seconds, 1 - 0.07, 1 + 0.07));
        Assert.InRange(fit.LatencySeconds, 0.33e-3, 0.45e-3);
        Assert.InRange(32_768 * 147_456.0 / (fit.Seconds(32_768 * 147_456.0) - fit.LatencySeconds), 146e9, 160e9);
        // Held out: the odd sizes alone predict the even ones.
        LineFit half = LineFit.Of([.. points.Where((_, i) => i % 2 == 0)]);
        Assert.All(points.Where((_, i) => i % 2 == 1), p => Assert.InRange(half.Seconds(p.Bytes) / p.Seconds, 0.9, 1.1));
    }

    /// <summary>V4: EFA on p5en, min(366 GB/s, 1.47 M messages/s x size) against the measured sweep.</summary>
    [Theory]
    [InlineData(64, 97, 0.011)]
    [InlineData(128, 191, 0.011)]
    [InlineData(256, 325, 0.13)] // the knee
    [InlineData(512, 358, 0.04)]
    [InlineData(1024, 353, 0.04)]
    [InlineData(2048, 367, 0.04)]
    public void V4_message_rate_limits_small_messages(int kibibytes, double gigabytesPerSecond, double tolerance)
    {
        var efa = TransferTime.Of(Catalogue.Links["efa-3.2T"]);
        Assert.InRange(efa.Bandwidth(kibibytes * 1024.0) / 1e9 / gigabytesPerSecond, 1 - tolerance, 1 + tolerance);
    }

    /// <summary>V6: Mooncake recommends at least 100 Gb/s; 70B over the conversation trace asks for 107 in full and 67 without the cached part, the synthetic one for 157 and 55.</summary>
    [Theory]
    [InlineData(3.4015, 12_035, 0.374, 107, 67)]
    [InlineData(3.9069, 15_325, 0.651, 157, 55)]
    public void V6_bandwidth_that_a_trace_asks_for(double rate, double tokens, double cached, double full, double fresh)
    {
        double bits = rate * KvSize.Bytes(Model("llama-3.3-70b"), tokens, KvSize.Bf16Bytes) * 8 / 1e9;
        Assert.Equal(full, bits, 0.6);
        Assert.Equal(fresh, bits * (1 - cached), 0.6);
    }

    /// <summary>V7 in closed form: Pollaczek and Khinchine with the trace's own moments; M/D/1 would be 2.7 times too low.</summary>
    [Theory]
    [InlineData(150, 0.715, 720)]
    [InlineData(200, 0.537, 249)]
    [InlineData(400, 0.268, 39.4)]
    [InlineData(1200, 0.0894, 3.52)]
    public void V7_one_link_as_a_queue(double gigabits, double load, double waitMs)
    {
        const double Rate = 3.40147, MeanTokens = 12_035.06, SquaredVariation = 1.7236;
        double service = KvSize.Bytes(Model("llama-3.3-70b"), MeanTokens, KvSize.Bf16Bytes) / (gigabits * 1e9 / 8);
        Assert.Equal(load, Rate * service, 0.001);
        double wait = QueueWait.General(Rate, service, service * service * (1 + SquaredVariation));
        Assert.InRange(wait * 1e3 / waitMs, 0.995, 1.005);
        Assert.Equal(2.72, wait / QueueWait.FixedService(Rate, service), 0.01);
    }

    [Fact]
    public void V7_at_100_gigabits_the_queue_never_empties() => Assert.Equal(double.PositiveInfinity, QueueWait.General(3.40147, 0.3155, 0.27));

    /// <summary>V8: nixl kvbench, DeepSeek-R1 in FP8, 10 requests of 10,000 tokens.</summary>
    [Theory]
    [InlineData(8, 512, 2_359_296, 1490)]
    [InlineData(16, 256, 589_824, 5958)]
    public void V8_operations_of_kvbench(int stages, int page, double bytes, long count)
    {
        Assert.Equal(bytes, KvPages.Bytes(Model("deepseek-r1"), KvSize.Fp8Bytes, page, stages));
        Assert.Equal(count, KvPages.Count(Model("deepseek-r1"), 10, 10_000, page, stages));
    }

    /// <summary>V9: DistServe, OPT-66B: 512 tokens are 1.13 GB, and 10 requests per second take 90 Gb/s; both in binary units.</summary>
    [Fact]
    public void V9_DistServes_bandwidth_remark()
    {
        double bytes = KvSize.Bytes(Model("opt-66b"), 512, KvSize.Bf16Bytes);
        Assert.Equal(1.125, bytes / (1 << 30), 9);
        Assert.Equal(90.0, 10 * bytes * 8 / (1 << 30), 9);
    }

    /// <summary>V10: DistServe, OPT-13B, one GPU, 512 tokens; time to first token of M/D/1 at three rates. The placement search needs ShareGPT, which is not here.</summary>
    [Theory]
    [InlineData(4, 88.3)]
    [InlineData(8, 124.7)]
    [InlineData(10, 172.8)]
    public void V10_DistServes_first_token(double rate, double milliseconds)
    {
        const double Tokens = 512, Seconds = (18.10 + 0.10191 * Tokens + 7.12e-6 * Tokens * Tokens + 1) / 1e3;
        Assert.Equal(73.1, Seconds * 1e3, 0.05);
        Assert.Equal(milliseconds, (Seconds + QueueWait.FixedService(rate, Seconds)) * 1e3, 0.15);
        Assert.True(QueueWait.PipelinedFirstToken(rate, Seconds) < Seconds + QueueWait.FixedService(rate, Seconds));
        Assert.Equal(Seconds + QueueWait.FixedService(rate, Seconds), QueueWait.ParallelFirstToken(rate, Seconds, 1), 9);
    }

    /// <summary>V11: splitwise-sim, medians of Llama2-70B on 8 GPUs, batch 1, within 10 %.</summary>
    [Theory]
    [InlineData("h100-8-2023", 512, 53.9)]
    [InlineData("h100-8-2023", 1024, 77.9)]
    [InlineData("h100-8-2023", 2048, 136.8)]
    [InlineData("h100-8-2023", 4096, 390)]
    [InlineData("h100-8-2023", 8192, 845)]
    [InlineData("a100-8", 512, 93)]
    [InlineData("a100-8", 1024, 155)]
    [InlineData("a100-8", 2048, 274)]
    [InlineData("a100-8", 4096, 661)]
    [InlineData("a100-8", 8192, 1550)]
    public void V11_Splitwises_prompt_times(string node, int tokens, double milliseconds) =>
        Assert.InRange(PrefillTime.Seconds(Model("llama-2-70b"), Catalogue.Nodes[node], Precision.Bf16, tokens) * 1e3 / milliseconds, 0.9, 1.1);

    [Fact]
    public void V11_Splitwises_token_time() => Assert.InRange(DecodeTime.Of(Model("llama-2-70b"), Catalogue.Nodes["h100-8-2023"], Precision.Bf16).StepSeconds(1, 0) * 1e3, 27, 33);

    /// <summary>V12: TensorRT-LLM, DeepSeek-R1 8192/256: 4.5 context instances per generation instance is the optimum, and end to end stays 0 to 25 % below the ideal.</summary>
    [Fact]
    public void V12_rate_matching_is_best_where_both_sides_are_busy()
    {
        const double Generation = 4.5, Context = 1;
        (int P, int D) best = (0, 0);
        for (int p = 1; p <= 18; p++)
        {
            for (int d = 1; d <= 4; d++)
            {
                if (best == (0, 0) || Ideal(p, d) > Ideal(best.P, best.D) + 1e-12) best = (p, d);
            }
        }

        Assert.Equal(4.5, (double)best.P / best.D, 9);
        double derated = Saturation.RateMatchedPerNode(best.P, Context, best.D, Generation);
        Assert.InRange(derated / Ideal(best.P, best.D), 0.75, 1);

        static double Ideal(int p, int d) => Saturation.RateMatchedPerNode(p, Context, d, Generation, 1, 1);
    }

    /// <summary>
    /// V13: SGLang, the same bytes per token as Llama 70B over 4 x 400 Gb/s, 32 requests at once: layer by layer is faster from 1K tokens on and slower at 256
    /// (229 to 269 ms, so half a millisecond per layer).
    /// </summary>
    [Theory]
    [InlineData(256, false)]
    [InlineData(1024, true)]
    [InlineData(4096, true)]
    [InlineData(8192, true)]
    public void V13_short_prompts_are_not_worth_pipelining(int tokens, bool pays)
    {
        const double StallSeconds = (269 - 229) / 80.0 / 1e3;
        const int Requests = 32, Layers = 80;
        ModelGeometry model = Model("llama-3.3-70b");
        double prefill = PrefillTime.Seconds(model, Catalogue.Nodes["h200-8"], Precision.Bf16, tokens), bytes = KvSize.Bytes(model, tokens, KvSize.Bf16Bytes);
        var link = new TransferTime(1600e9 / 8 / Requests, 10e-6);
        Assert.Equal(pays, PipelinedTransfer.Of(prefill, bytes, Layers, link, StallSeconds).FinishSeconds < PipelinedTransfer.Of(prefill, bytes, 1, link, StallSeconds).FinishSeconds);
    }

    /// <summary>V14: vllm-ascend, 181K tokens: 22 chunks pull for 2,156 ms, 6 chunks for 354 to 862: n alpha + S / B with one alpha gives both.</summary>
    [Fact]
    public void V14_every_chunk_costs()
    {
        const double PerChunk = 0.090, Bytes = 1e9;
        var link = new TransferTime(Bytes / (2.156 - 22 * PerChunk), PerChunk);
        Assert.Equal(2.156, link.StoreAndForwardSeconds(Bytes, 22), 6);
        Assert.InRange(link.StoreAndForwardSeconds(Bytes, 6), 0.354, 0.862);
    }

    /// <summary>V15: Mooncake, a prefix cache cuts prefill of 128K tokens by up to 92 %; here with all but the last 4K to 8K cached.</summary>
    [Fact]
    public void V15_a_cached_prefix_saves_most_of_a_long_prefill()
    {
        ModelGeometry model = Model("llama-3.3-70b");
        Assert.InRange(PrefixReuse.SavedShare(model, 131_072, 131_072 - 8192), 0.88, 0.92);
        Assert.InRange(PrefixReuse.SavedShare(model, 131_072, 131_072 - 4096), 0.92, 0.97);
    }
}
