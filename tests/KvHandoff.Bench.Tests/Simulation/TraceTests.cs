using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Simulation;

/// <summary>Traces: V5, the drawn ones, and what is said of a wrong line.</summary>
public sealed class TraceTests
{
    /// <summary>V5: the published means, and the prefix hits of an endless cache.</summary>
    [Theory]
    [InlineData("conversation", 12_031, 12_035, 343, 0.374)]
    [InlineData("synthetic", 3993, 15_325, 149, 0.651)]
    public void V5_statistics_of_the_traces(string name, int requests, double prompt, double output, double cached)
    {
        WorkloadRequest[] trace = name == "conversation" ? Traces.Conversation : Traces.Synthetic;
        Assert.Equal(requests, trace.Length);
        double tolerance = Traces.IsReal ? 0.001 : 0.05;
        Assert.InRange(trace.Average(r => r.PromptTokens) / prompt, 1 - tolerance, 1 + tolerance);
        Assert.InRange(trace.Average(r => r.OutputTokens) / output, 1 - 1.5 * tolerance, 1 + 1.5 * tolerance);
        Assert.Equal(cached, Workload.CachedShare(trace), Traces.IsReal ? 0.001 : 0.05);
        if (Traces.IsReal && name == "conversation") Assert.Equal(1180, trace.Select(r => r.ArrivalSeconds).Distinct().Count());
    }

    [Theory]
    [InlineData("conversation", 0.374, 1.72)]
    [InlineData("synthetic", 0.651, 1.44)]
    [InlineData("toolagent", 0.59, 1.5)]
    public void Drawn_requests_have_the_published_statistics(string name, double cached, double variation)
    {
        MooncakeTrace.Statistics published = MooncakeTrace.Published.First(p => p.Name == name);
        WorkloadRequest[] drawn = MooncakeTrace.Draw(published, 20_000, 1);
        double mean = drawn.Average(r => r.PromptTokens), square = drawn.Average(r => (double)r.PromptTokens * r.PromptTokens);
        Assert.InRange(mean / published.PromptTokens, 0.97, 1.03);
        Assert.InRange(drawn.Average(r => r.OutputTokens) / published.OutputTokens, 0.97, 1.03);
        Assert.Equal(variation, square / mean / mean - 1, 0.2);
        Assert.Equal(cached, Workload.CachedShare(drawn), 0.03);
        Assert.InRange(20_000 / Workload.Span(drawn) / published.Rate, 0.97, 1.03);
        Assert.Equal(drawn.Select(r => r.PromptTokens), MooncakeTrace.Draw(published, 20_000, 1).Select(r => r.PromptTokens));
    }

    [Theory]
    [InlineData("""{"timestamp": 0, "input_length": 0, "output_length": 5}""", "input_length", "0", "from 1 to")]
    [InlineData("""{"timestamp": 0, "output_length": 5}""", "input_length", "missing", "from 1 to")]
    [InlineData("""{"timestamp": 0, "input_length": "x", "output_length": 5}""", "input_length", "\"x\"", "from 1 to")]
    [InlineData("""{"timestamp": 0, "input_length": 512, "output_length": 5, "hash_ids": [1, 2]}""", "hash_ids", "2 ids", "one per 512 tokens")]
    [InlineData("""{"timestamp": 0, "input_length": 512, "output_length": 5, "hash_ids": [-1]}""", "hash_ids", "-1", "whole numbers from 0")]
    [InlineData("""{"timestamp": -1, "input_length": 512, "output_length": 5}""", "timestamp", "-1", "from 0")]
    [InlineData("[]", "the line", "[]", "an object")]
    [InlineData("{", "line 2", "no JSON", "")]
    public void A_wrong_line_is_refused_with_file_line_field_and_value(string line, string field, string value, string allowed)
    {
        string message = Assert.Throws<InvalidDataException>(() => MooncakeTrace.Read("t.jsonl", ["""{"timestamp": 0, "input_length": 10, "output_length": 5, "hash_ids": [0]}""", line])).Message;
        Assert.StartsWith("t.jsonl: line 2: ", message, StringComparison.Ordinal);
        Assert.Contains(field, message, StringComparison.Ordinal);
        Assert.Contains(value, message, StringComparison.Ordinal);
        Assert.Contains(allowed, message, StringComparison.Ordinal);
    }

    [Fact]
    public void Time_does_not_run_backwards()
    {
        string[] lines = ["""{"timestamp": 5, "input_length": 10, "output_length": 5}""", """{"timestamp": 4, "input_length": 10, "output_length": 5}"""];
        Assert.Contains("at least that of the line before, 5", Assert.Throws<InvalidDataException>(() => MooncakeTrace.Read("t.jsonl", lines)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Poisson", 1)]
    [InlineData("Gamma", 3)]
    [InlineData("Even", 0)]
    public void Gaps_between_arrivals_vary_as_asked(string kind, double variation)
    {
        WorkloadRequest[] work = Workload.Make(Workload.Alike(10, 10), 100_000, Enum.Parse<ArrivalKind>(kind), 5, 3, false, new SimulationRandom(6));
        double[] gaps = [.. work.Zip(work.Skip(1)).Select(p => p.Second.ArrivalSeconds - p.First.ArrivalSeconds)];
        double mean = gaps.Average(), deviation = Math.Sqrt(gaps.Average(g => (g - mean) * (g - mean)));
        Assert.InRange(mean * 5, 0.97, 1.03);
        Assert.Equal(variation, deviation / mean, 0.1);
    }
}
