using KvHandoff.Codec;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>The governor drives a simulated pipeline of encoder, link and decoder.</summary>
public sealed class CodecGovernorTests
{
    private const CodecId Window = (CodecId)2, Slow = (CodecId)3;
    private const long Granule = 64 << 10, Gigabyte = 1 << 30;
    private const double Gigabit = 1e9 / 8;

    private readonly record struct Rates(double EncodeBytesPerSecond, double DecodeBytesPerSecond, double Ratio);

    private static readonly Rates Gather = new(10e9, double.PositiveInfinity, 1);
    private static readonly Rates WindowRates = new(8e9, 9e9, 1.41);

    [Theory]
    [InlineData(1, true)]
    [InlineData(10, true)]
    [InlineData(25, true)]
    [InlineData(100, false)]
    public void The_window_codec_is_taken_where_the_link_is_slower(double gigabits, bool taken)
    {
        var pipeline = new Pipeline(gigabits * Gigabit, (CodecId.Raw, Gather), (Window, WindowRates), (Slow, new Rates(5e8, 1e9, 1.6)));
        CodecGovernor governor = Run(pipeline, Gigabyte, Window, Slow);
        Assert.Equal(taken ? gigabits == 1 ? Slow : Window : CodecId.Raw, governor.Current);
        // All but the probes went that way.
        Assert.True(pipeline.RawBytesBy(governor.Current) > 0.98 * Gigabyte);
        double raw = pipeline.RawSecondsPerByte * Gigabyte;
        Assert.True(pipeline.Seconds < 1.02 * raw);
    }

    [Fact]
    public void On_any_rates_a_gigabyte_costs_at_most_two_percent_more_than_raw_and_not_much_more_than_the_best()
    {
        var random = new Random(41);
        double Any(double least, double most) => least * Math.Pow(most / least, random.NextDouble());
        for (int i = 0; i < 400; i++)
        {
            double link = Any(0.1e9, 13e9);
            var pipeline = new Pipeline(
                link, (CodecId.Raw, Gather with { EncodeBytesPerSecond = Any(4e9, 20e9) }),
                (Window, new Rates(Any(0.5e9, 20e9), Any(0.5e9, 20e9), Any(0.9, 2))), (Slow, new Rates(Any(0.5e9, 20e9), Any(0.5e9, 20e9), Any(0.9, 4))))
            {
                Noise = random.NextDouble() * 0.2,
                ReportsDecode = i % 4 != 0,
                Random = random,
            };
            Run(pipeline, Gigabyte, Window, Slow);
            double raw = pipeline.RawSecondsPerByte * Gigabyte, best = pipeline.BestSecondsPerByte * Gigabyte;
            Assert.True(pipeline.Seconds <= 1.02 * raw, $"case {i}: {pipeline.Seconds / raw:F4} of raw, {pipeline}");
            if (pipeline.ReportsDecode) Assert.True(pipeline.Seconds <= 1.08 * best, $"case {i}: {pipeline.Seconds / best:F4} of the best, {pipeline}");
        }
    }

    [Fact]
    public void A_slow_decoder_behind_a_blocking_send_is_not_taken_for_a_slow_link()
    {
        // The decoder is slower than the link: a blocking send then waits for the decoder and looks like a slow link.
        var pipeline = new Pipeline(5e9, (CodecId.Raw, Gather), (Window, new Rates(9e9, 2e9, 1.41))) { ReportsDecode = false };
        CodecGovernor governor = Run(pipeline, Gigabyte, Window);
        Assert.Equal(5e9, governor.LinkBytesPerSecond, 1e8);
        Assert.True(pipeline.Seconds < 1.02 * pipeline.RawSecondsPerByte * Gigabyte, $"{pipeline.Seconds / (pipeline.RawSecondsPerByte * Gigabyte):F3} of raw");
    }

    [Fact]
    public void A_link_that_speeds_up_behind_a_slower_codec_is_found_again()
    {
        var pipeline = new Pipeline(10 * Gigabit, (CodecId.Raw, Gather), (Window, WindowRates with { EncodeBytesPerSecond = 2e9 }));
        var governor = new CodecGovernor(Window);
        Run(pipeline, Gigabyte, governor);
        Assert.Equal(Window, governor.Current);
        pipeline.LinkBytesPerSecond = 100 * Gigabit;
        Run(pipeline, 2 * Gigabyte, governor);
        Assert.Equal(CodecId.Raw, governor.Current);
        pipeline.LinkBytesPerSecond = 5 * Gigabit;
        Run(pipeline, Gigabyte, governor);
        Assert.Equal(Window, governor.Current);
    }

    [Fact]
    public void Sends_that_return_from_a_buffer_at_once_do_not_make_the_link_look_fast()
    {
        var governor = new CodecGovernor(Window);
        for (int i = 0; i < 8; i++) governor.Report(new CodecSample(CodecId.Raw, Granule, Granule, Granule / 10e9, Granule / 1e9));
        Assert.Equal(1e9, governor.LinkBytesPerSecond, 1e6);
        // Encoded at 1.2 GB/s, so the link carries at least 0.8 GB/s; the sends themselves took no time.
        for (int i = 0; i < 100; i++) governor.Report(new CodecSample(Window, Granule, Granule * 2 / 3, Granule / 1.2e9, 1e-7, Granule / 9e9));
        Assert.Equal(1e9, governor.LinkBytesPerSecond, 1e6);
        // At 3 GB/s the link carries at least 2.
        for (int i = 0; i < 100; i++) governor.Report(new CodecSample(Window, Granule, Granule * 2 / 3, Granule / 3e9, 1e-7, Granule / 9e9));
        Assert.Equal(2e9, governor.LinkBytesPerSecond, 1e7);
    }

    [Fact]
    public void Before_the_link_is_known_everything_goes_raw()
    {
        var governor = new CodecGovernor(Window);
        for (int i = 0; i < 1000; i++) Assert.Equal(CodecId.Raw, governor.Choose(Granule));
        Assert.Equal(0, governor.LinkBytesPerSecond);
        Assert.Equal(0, governor.PredictedBytesPerSecond(Window));
        Assert.Throws<ArgumentOutOfRangeException>(() => governor.Choose(0));
    }

    [Fact]
    public void Samples_that_say_nothing_change_nothing()
    {
        var governor = new CodecGovernor(Window);
        governor.Report(new CodecSample(CodecId.Raw, Granule, Granule, 1e-5, 1e-4));
        double link = governor.LinkBytesPerSecond;
        foreach (double seconds in (double[])[double.NaN, double.PositiveInfinity, -1]) governor.Report(new CodecSample(CodecId.Raw, Granule, Granule, 1e-5, seconds));
        governor.Report(new CodecSample(CodecId.Raw, 0, 0, 1, 1));
        governor.Report(new CodecSample(CodecId.Raw, Granule, Granule, 0, 0));
        governor.Report(new CodecSample((CodecId)200, Granule, Granule, 1, 1));
        Assert.Equal(link, governor.LinkBytesPerSecond);
    }

    [Fact]
    public void Without_candidates_everything_goes_raw()
    {
        var pipeline = new Pipeline(Gigabit, (CodecId.Raw, Gather));
        Run(pipeline, Gigabyte / 8, CodecId.Raw);
        Assert.Equal(Gigabyte / 8, pipeline.RawBytesBy(CodecId.Raw));
    }

    [Fact]
    public void Nothing_is_allocated_for_a_sample()
    {
        var governor = new CodecGovernor(Window, Slow);
        var sample = new CodecSample(CodecId.Raw, Granule, Granule, 1e-5, 1e-4);
        governor.Report(sample);
        governor.Choose(Granule);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            CodecId codec = governor.Choose(Granule);
            governor.Report(sample with { Codec = codec });
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static CodecGovernor Run(Pipeline pipeline, long bytes, params ReadOnlySpan<CodecId> candidates)
    {
        var governor = new CodecGovernor(candidates);
        Run(pipeline, bytes, governor);
        return governor;
    }

    private static void Run(Pipeline pipeline, long bytes, CodecGovernor governor)
    {
        // Reports come back a few granules late, as they do from another host.
        var late = new Queue<CodecSample>();
        for (long sent = 0; sent < bytes; sent += Granule)
        {
            late.Enqueue(pipeline.Send(governor.Choose(Granule), Granule));
            if (late.Count > 4) governor.Report(late.Dequeue());
        }
    }

    // Granules overlap without end, so each costs the time of its slowest stage; a send waits for a slower decoder.
    private sealed class Pipeline(double linkBytesPerSecond, params (CodecId Codec, Rates Rates)[] codecs)
    {
        private readonly Dictionary<CodecId, Rates> _rates = codecs.ToDictionary(c => c.Codec, c => c.Rates);
        private readonly Dictionary<CodecId, long> _sent = codecs.ToDictionary(c => c.Codec, _ => 0L);

        public double LinkBytesPerSecond { get; set; } = linkBytesPerSecond;

        public double Noise { get; init; }

        public bool ReportsDecode { get; init; } = true;

        public Random Random { get; init; } = new(1);

        public double Seconds { get; private set; }

        public double RawSecondsPerByte => Ideal(_rates[CodecId.Raw]);

        public double BestSecondsPerByte => _rates.Values.Min(Ideal);

        public long RawBytesBy(CodecId codec) => _sent[codec];

        public CodecSample Send(CodecId codec, long rawBytes)
        {
            Rates rates = _rates[codec];
            var encoded = (long)(rawBytes / rates.Ratio);
            double encode = Noisy(rawBytes / rates.EncodeBytesPerSecond), decode = Noisy(rawBytes / rates.DecodeBytesPerSecond);
            double send = Math.Max(Noisy(encoded / LinkBytesPerSecond), decode);
            Seconds += Math.Max(rawBytes * Ideal(rates), 0);
            _sent[codec] += rawBytes;
            return new CodecSample(codec, rawBytes, encoded, encode, send, ReportsDecode ? decode : 0);
        }

        public override string ToString() => $"link {LinkBytesPerSecond:E2}, {string.Join(", ", _rates)}, noise {Noise:F2}, sent {string.Join(", ", _sent)}";

        private double Ideal(Rates rates) =>
            Math.Max(Math.Max(1 / rates.EncodeBytesPerSecond, 1 / rates.DecodeBytesPerSecond), 1 / (LinkBytesPerSecond * rates.Ratio));

        private double Noisy(double seconds) => seconds * (1 + Noise * (Random.NextDouble() - 0.5));
    }
}
