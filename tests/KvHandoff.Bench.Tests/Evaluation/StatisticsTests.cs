using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Statistics;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Figures against values worked out by hand and against oracles that do the same another way.</summary>
public sealed class StatisticsTests
{
    [Fact]
    public void HandComputedValues()
    {
        MetricStatistics m = SampleStatistics.Of("s", [4, 1, 3, 2, 10], 1)!;
        Assert.Equal((5, 4.0, 1.0, 10.0), (m.Count, m.Mean, m.Min, m.Max));
        // Deviations -3 -2 -1 0 6: squares 50, over 4.
        Assert.Equal(Math.Sqrt(12.5), m.Std!.Value, 1e-12);
        // Positions 0.01 * 4 = 0.04, 0.9 * 4 = 3.6, 0.99 * 4 = 3.96, 0.999 * 4 = 3.996.
        Assert.Equal((1.04, 1.2, 1.4, 2, 3, 4), (Round(m.P1), Round(m.P5), Round(m.P10), m.P25, m.P50, m.P75));
        Assert.Equal((7.6, 8.8, 9.76, 9.976), (Round(m.P90), Round(m.P95), Round(m.P99), Round(m.P999)));
    }

    [Fact]
    public void OneSampleHasNoDeviationAndNoneHasNothing()
    {
        MetricStatistics one = SampleStatistics.Of("s", [2.5], 1)!;
        Assert.Equal((2.5, 2.5, 2.5), (one.Mean, one.P1, one.P999));
        Assert.Null(one.Std);
        Assert.Null(one.MeanCi95);
        Assert.Null(SampleStatistics.Of("s", [], 1));
    }

    [Fact]
    public void PercentilesEqualTheirDefinition()
    {
        var random = new Random(2);
        for (int n = 1; n < 60; n++)
        {
            double[] samples = [.. Enumerable.Range(0, n).Select(_ => random.NextDouble())], sorted = [.. samples.Order()];
            foreach (double share in new[] { 0, 0.01, 0.25, 0.5, 0.77, 0.9, 0.999, 1 })
            {
                // The piecewise linear function through (i / (n - 1), x_i), found by search.
                double expected = sorted[0];
                for (int i = 0; i + 1 < n; i++)
                {
                    double left = i / (double)(n - 1), right = (i + 1) / (double)(n - 1);
                    if (share >= left && share <= right) expected = sorted[i] + (sorted[i + 1] - sorted[i]) * (share - left) / (right - left);
                }

                Assert.Equal(expected, Percentile.OfSorted(sorted, share), 1e-10);
            }
        }
    }

    [Theory]
    [InlineData(4, false, false, false, false)]
    [InlineData(5, true, true, false, false)]
    [InlineData(9, true, true, false, false)]
    [InlineData(10, true, true, true, false)]
    [InlineData(99, true, true, true, false)]
    [InlineData(100, true, true, true, true)]
    public void IntervalsNeedSamples(int n, bool mean, bool p50, bool p90, bool p99)
    {
        MetricStatistics m = SampleStatistics.Of("s", Enumerable.Range(0, n).Select(i => (double)i), 1)!;
        Assert.Equal((mean, p50, p90, p99), (m.MeanCi95 is not null, m.P50Ci95 is not null, m.P90Ci95 is not null, m.P99Ci95 is not null));
    }

    [Fact]
    public void IntervalsEqualThoseOfAPlainBootstrap()
    {
        var random = new Random(11);
        double[] samples = [.. Enumerable.Range(0, 300).Select(_ => -Math.Log(1 - random.NextDouble()))];
        MetricStatistics m = SampleStatistics.Of("s", samples, 7)!;
        // Another generator, drawing and sorting: the same up to the noise of 1,000 draws.
        foreach ((Func<double[], double> of, Interval interval) in new (Func<double[], double>, Interval)[] { (s => s.Average(), m.MeanCi95!), (s => At(s, 0.5), m.P50Ci95!), (s => At(s, 0.9), m.P90Ci95!), (s => At(s, 0.99), m.P99Ci95!) })
        {
            double[] draws = [.. Enumerable.Range(0, 4000).Select(_ => of([.. Enumerable.Range(0, samples.Length).Select(_ => samples[random.Next(samples.Length)])])).Order()];
            double low = At(draws, 0.025), high = At(draws, 0.975), width = high - low;
            Assert.InRange(interval.Low, low - 0.15 * width, low + 0.15 * width);
            Assert.InRange(interval.High, high - 0.15 * width, high + 0.15 * width);
        }

        static double At(double[] values, double share)
        {
            Array.Sort(values);
            double position = share * (values.Length - 1);
            int below = (int)position;
            return below == values.Length - 1 ? values[below] : values[below] * (1 - (position - below)) + values[below + 1] * (position - below);
        }
    }

    [Fact]
    public void IntervalsHoldTheTruthAsOftenAsTheySay()
    {
        var random = new Random(4);
        int held = 0;
        const int Runs = 300;
        for (int i = 0; i < Runs; i++)
        {
            MetricStatistics m = SampleStatistics.Of("s", Enumerable.Range(0, 60).Select(_ => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())), (ulong)i)!;
            if (m.MeanCi95!.Low <= 0 && m.MeanCi95.High >= 0) held++;
        }

        // 95 % of 300 are 285; three deviations of 3.8.
        Assert.InRange(held, 268, 297);
    }

    [Fact]
    public void TheSameSeedGivesTheSameInterval()
    {
        double[] samples = [.. Enumerable.Range(0, 50).Select(i => Math.Sin(i))];
        Assert.Equal(SampleStatistics.Of("s", samples, 3), SampleStatistics.Of("s", samples.Reverse(), 3));
        Assert.NotEqual(SampleStatistics.Of("s", samples, 3)!.MeanCi95, SampleStatistics.Of("s", samples, 4)!.MeanCi95);
        Assert.NotEqual(SampleStatistics.SeedOf(1, "a", "bc"), SampleStatistics.SeedOf(1, "ab", "c"));
    }

    [Fact]
    public void DifferencesAreFoundWhereTheyAreAndOnlyThere()
    {
        var random = new Random(9);
        double[] a = [.. Enumerable.Range(0, 80).Select(_ => random.NextDouble())], shifted = [.. a.Select(x => x + 0.5)], other = [.. Enumerable.Range(0, 80).Select(_ => random.NextDouble())];
        Interval shift = Bootstrap.Difference(shifted, a, Bootstrap.Mean, 1)!, none = Bootstrap.Difference(a, other, Bootstrap.Mean, 1)!;
        Assert.True(shift.Low > 0.3 && shift.Low <= 0.5 && shift.High >= 0.5 && shift.High < 0.7, $"{shift}");
        Assert.True(none.Low < 0 && none.High > 0, $"{none}");
        Assert.Null(Bootstrap.Difference([1, 2, 3, 4], a, Bootstrap.Mean, 1));
    }

    [Theory]
    [InlineData("ttft:200ms", "ttft", MetricNames.FirstToken, 0.2)]
    [InlineData("e2e:5s", "e2e", MetricNames.Latency, 5)]
    [InlineData("itl:0.5ms", "itl", MetricNames.InterToken, 0.0005)]
    [InlineData("response:1m30s", "response", MetricNames.Response, 90)]
    public void ObjectivesAreRead(string text, string name, string metric, double seconds) => Assert.Equal(new SloObjective(name, metric, seconds), Assert.Single(Objectives.Parse(text)));

    [Theory]
    [InlineData("ttft")]
    [InlineData("ttft:200")]
    [InlineData("ttft:0s")]
    [InlineData("ttft:-1s")]
    [InlineData("tpot:1s")]
    [InlineData("ttft:1s,ttft:2s")]
    [InlineData("ttft:1s,")]
    [InlineData("ttft:1s:2s")]
    public void WrongObjectivesAreRefusedByName(string text)
    {
        InvalidDataException e = Assert.Throws<InvalidDataException>(() => Objectives.Parse(text));
        Assert.Contains("--slo:", e.Message);
        Assert.Contains("allowed", e.Message);
    }

    [Fact]
    public void ObjectivesAreMetOrMissed()
    {
        IReadOnlyList<SloObjective> objectives = Objectives.Parse("ttft:200ms,itl:50ms");
        RequestRecord good = Records.Ok(0.2, 0.05, 1);
        Assert.True(Objectives.Judge(objectives, good));
        Assert.False(Objectives.Judge(objectives, Records.Ok(0.2001, 0.05, 1)));
        Assert.False(Objectives.Judge(objectives, Records.Ok(0.1, 0.051, 1)));
        Assert.False(Objectives.Judge(objectives, good with { Outcome = Outcomes.Error }));
        Assert.Null(Objectives.Judge(objectives, good with { Outcome = Outcomes.Cancelled }));
        Assert.Null(Objectives.Judge([], good));
        // One token is late with no second; many tokens whose count is not known are not known to be in time.
        RequestRecord one = good with { Client = good.Client with { InterTokenSeconds = null }, ContentChunks = 1 };
        Assert.True(Objectives.Judge(objectives, one));
        Assert.False(Objectives.Judge(objectives, one with { ContentChunks = 5 }));
    }

    [Fact]
    public void MetricsOfAHandoffComeFromWhatTheServerSays()
    {
        HandoffDetail Handoff(double wire) => new() { ExposedSeconds = 0.004, FirstStepSeconds = 0.002, FirstTokenSeconds = 0.09, KvBytes = 1000, WireBytes = 500, Preemptions = 1, Phases = new Dictionary<string, double> { ["wire"] = wire } };
        ServerTimes server = new() { QueueSeconds = 0.01, PromptSeconds = 0.05, HandoffSeconds = 0.004, CompletionSeconds = 0.5, TotalSeconds = 0.6 };
        RequestRecord[] requests = [.. new[] { 0.001, 0.003 }.Select(w => Records.Ok(0.1, 0.01, 1) with { Server = server with { Handoff = Handoff(w) } }), Records.Ok(0.1, 0.01, 1)];
        IReadOnlyDictionary<string, MetricStatistics> m = RequestMetrics.Statistics(requests, 1, "x");
        Assert.Equal((2, 0.002, "s"), (m["handoff_phase_wire"].Count, m["handoff_phase_wire"].P50, m["handoff_phase_wire"].Unit));
        // 0.1 less 0.01, 0.05, 0.004 and 0.002.
        Assert.Equal(0.034, m[MetricNames.FirstTokenOverhead].P50, 1e-12);
        Assert.Equal((2, 500, "B"), (m[MetricNames.HandoffWireBytes].Count, m[MetricNames.HandoffWireBytes].Mean, m[MetricNames.HandoffWireBytes].Unit));
        // Ten gaps of each of three requests, and no interval: they depend on each other.
        Assert.Equal((30, null), (m[MetricNames.Gap].Count, m[MetricNames.Gap].MeanCi95));
        Assert.False(m.ContainsKey(MetricNames.ServerThroughput));
    }

    [Fact]
    public void ErrorsAreGroupedWithSamples()
    {
        RequestError Error(string label, string message) => new() { Label = label, Message = message };
        IReadOnlyList<ErrorGroup> groups = ErrorGrouping.Of([Error("b", "x"), Error("a", "1"), Error("a", "2"), Error("a", "1"), .. Enumerable.Range(0, 9).Select(i => Error("c", $"{i}"))]);
        Assert.Equal([("c", 9, 5), ("a", 3, 2), ("b", 1, 1)], groups.Select(g => (g.Label, g.Count, g.Messages.Count)));
        Assert.Equal(["1", "2"], groups[1].Messages);
    }

    private static double Round(double value) => Math.Round(value, 9);
}
