using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Evaluation.Statistics;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>The same load over two routes of one gateway.</summary>
public sealed class BaselineTests
{
    [Fact]
    public async Task BothRoutesGetTheSameRequestsInTurns()
    {
        await using var server = new ScriptedServer(r => Reply.Tokens(4, r.Headers["x-kvhandoff-route"] == "monolithic" ? 12 : 1).Header("x-kvhandoff-decode-worker", r.Headers["x-kvhandoff-route"] == "monolithic" ? "m0" : "d0"));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(2)) with { HasBaseline = true, Iterations = 8 });
        Assert.Equal(["disaggregated", "monolithic"], summary.Loads.Select(l => l.Route));
        Assert.All(summary.Loads, l => Assert.Equal(32, l.Ok));
        // ABBA ABBA by turns of eight requests.
        string[] routes = [.. server.Posts.Select(p => p.Headers["x-kvhandoff-route"])];
        Assert.Equal("DMMDDMMD", string.Concat(routes.Chunk(8).Select(c => c.Distinct().Single() == "monolithic" ? 'M' : 'D')));
        Assert.Equal(server.Posts.Where(p => p.Headers["x-kvhandoff-route"] == "monolithic").Select(p => p.Body).Order(), server.Posts.Where(p => p.Headers["x-kvhandoff-route"] == "disaggregated").Select(p => p.Body).Order());
        BaselineSection baseline = summary.Baseline!;
        Assert.Equal((4, true, 4, 4), (baseline.Turns, baseline.Texts.Compared, baseline.Texts.Prompts, baseline.Texts.Equal));
        BaselineRow row = baseline.Rows.Single(r => r is { Stage: "all", Metric: MetricNames.InterToken, Statistic: "p50" });
        Assert.Equal(row.Disaggregated - row.Monolithic, row.Difference, 1e-12);
        Assert.Equal(row.Difference / row.Monolithic * 100, row.DifferencePercent!.Value, 1e-9);
        Assert.Equal(summary.Loads[0].Stages[0].Metrics[MetricNames.InterToken].P50, row.Disaggregated, 1e-12);
        Assert.Equal("d0", summary.Requests.First(r => r.Route == "disaggregated").Workers["decode-worker"]);
        Assert.Empty(summary.Failures);
    }

    [Fact]
    public async Task FreshPromptsAreNewInEveryIterationAndTheSameOnBothRoutes()
    {
        await using var server = new ScriptedServer(_ => Reply.Tokens(2));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(1), LoadSpec.OfConcurrency(2)) with { HasBaseline = true, FreshPrompts = true, WarmUp = 1, Iterations = 3, Seed = 7, Types = ["short_input_short_output"] });
        // Two loads, three iterations and a warm-up each, on two routes.
        Assert.Equal(16, server.Posts.Count);
        Assert.All(server.Posts.GroupBy(p => p.Body), g => Assert.Equal(["disaggregated", "monolithic"], g.Select(p => p.Headers["x-kvhandoff-route"]).Order()));
        foreach (string beginning in (string[])["(7.1.w1) ", "(7.1.1) ", "(7.1.3) ", "(7.2.w1) ", "(7.2.2) "]) Assert.Equal(2, server.Posts.Count(p => p.Body.Contains($"\"content\":\"{beginning}The woman answered", StringComparison.Ordinal)));
        Assert.Equal((6, 6), (summary.Baseline!.Texts.Prompts, summary.Baseline.Texts.Equal));
        Assert.True(summary.Config.FreshPrompts);
    }

    [Fact]
    public async Task DifferentTextsAreAFailure()
    {
        await using var server = new ScriptedServer(r => Reply.Tokens(4, text: r.Headers["x-kvhandoff-route"] == "monolithic" && r.Body.Contains("\"max_completion_tokens\":1225", StringComparison.Ordinal) ? "other " : "tok "));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server) with { HasBaseline = true, Iterations = 2 });
        Assert.Equal((4, 3), (summary.Baseline!.Texts.Prompts, summary.Baseline.Texts.Equal));
        TextDifference difference = Assert.Single(summary.Baseline.Texts.Differences);
        Assert.Equal("short_input_long_output", difference.PromptType);
        Assert.Equal((2, 2), (Assert.Single(difference.Disaggregated).Value, Assert.Single(difference.Monolithic).Value));
        Assert.Contains("short_input_long_output", Assert.Single(summary.Failures));
    }

    [Fact]
    public void GainsAndLossesNeedAnInterval()
    {
        RequestRecord[] Route(string route, int load, double first, double inter, int count) => [.. Enumerable.Range(0, count).Select(i => Records.Ok(first + i * 1e-4, inter + i * 1e-6, 1 + i * 1e-3, route: route, load: load))];
        RequestRecord[] records = [.. Route("disaggregated", 0, 0.1, 0.02, 20), .. Route("monolithic", 1, 0.2, 0.01, 20)];
        BaselineSection baseline = RouteComparison.Of([("c", 0, 1)], records, 1, true, 1);
        BaselineRow Row(string metric) => baseline.Rows.Single(r => r is { Stage: "all", Statistic: "mean" } && r.Metric == metric);
        Assert.Equal(("gain", -0.1), (Row(MetricNames.FirstToken).Verdict, Math.Round(Row(MetricNames.FirstToken).Difference, 9)));
        Assert.Equal("loss", Row(MetricNames.InterToken).Verdict);
        // More is better of a speed alone.
        Assert.Equal("loss", Row(MetricNames.OutputSpeed).Verdict);
        Assert.True(Row(MetricNames.OutputSpeed).Difference < 0);
        Assert.Equal("none", Row(MetricNames.Latency).Verdict);
        BaselineSection few = RouteComparison.Of([("c", 0, 1)], [.. Route("disaggregated", 0, 0.1, 0.02, 4), .. Route("monolithic", 1, 0.2, 0.01, 4)], 1, false, 1);
        Assert.All(few.Rows, r => Assert.Equal(("none", null), (r.Verdict, r.DifferenceCi95)));
        Assert.False(few.Texts.Compared);
    }

    [Fact]
    public void ARouteThatContradictsItselfIsADifferenceToo()
    {
        RequestRecord[] records = [Records.Ok(1, 1, 1, route: "disaggregated"), Records.Ok(1, 1, 1, route: "disaggregated", text: "u"), Records.Ok(1, 1, 1, route: "monolithic", load: 1)];
        TextEqualitySection texts = RouteComparison.Of([("c", 0, 1)], records, 1, true, 1).Texts;
        Assert.Equal((1, 0), (texts.Prompts, texts.Equal));
        Assert.Equal(2, Assert.Single(texts.Differences).Disaggregated.Count);
    }
}
