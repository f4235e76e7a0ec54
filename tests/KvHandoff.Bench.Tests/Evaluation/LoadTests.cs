using System.Text.Json;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Evaluation.Statistics;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>How requests are offered: which, how many at a time, and when.</summary>
public sealed class LoadTests
{
    [Fact]
    public async Task AClosedLoadSendsEachTypeAsOftenAsAskedAndNeverMoreAtATime()
    {
        await using var server = new ScriptedServer(_ => Reply.Tokens(3, 2));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(4)) with { Iterations = 6, WarmUp = 2 });
        Assert.Equal(4 * (6 + 2), server.Posts.Count);
        Assert.Equal(4, server.Peak);
        LoadSection load = Assert.Single(summary.Loads);
        Assert.Equal((24, 0, 0, 4), (load.Ok, load.Failed, load.Cancelled, load.Concurrency));
        Assert.Equal(["all", .. EvaluationPrompts.Types], load.Stages.Select(s => s.Name));
        Assert.All(load.Stages.Skip(1), s => Assert.Equal(6, s.Ok));
        Assert.Equal(24, load.Stages[0].Metrics[MetricNames.Latency].Count);
        Assert.Equal(8, summary.Requests.Count(r => r.Phase == Outcomes.WarmUp));
        Assert.Equal(4, load.Throughput.PeakConcurrency);
        Assert.InRange(load.Throughput.MeanConcurrency!.Value, 1, 4);
        Assert.Equal(24 / load.DurationSeconds, load.Throughput.RequestsPerSecond!.Value, 1e-6);
        Assert.Equal(72 / load.DurationSeconds, load.Throughput.OutputTokensPerSecond!.Value, 1e-6);
        Assert.Equal(summary.Requests.Count, summary.Requests.Select(r => r.Id).Distinct().Count());
        Assert.Empty(summary.Failures);
    }

    [Fact]
    public async Task NoLaneWaitsForAnother()
    {
        // One request stays until all others have been answered: with a barrier that would never be.
        var others = new CountdownEvent(11);
        using var release = new ManualResetEventSlim();
        await using var server = new ScriptedServer(r =>
        {
            if (r.Number == 1) Assert.True(others.Wait(TimeSpan.FromSeconds(20)));
            else others.Signal();
            return Reply.Tokens(2);
        });
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(2)));
        Assert.Equal(12, summary.Loads[0].Ok);
    }

    [Fact]
    public async Task SeedCompatWaitsForEachBatch()
    {
        await using var server = new ScriptedServer(r => Reply.Tokens(2, r.Number % 2 == 1 ? 30 : 1));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(2)) with { SeedCompat = true, Temperature = null, IncludeUsage = false, Iterations = 3 });
        RequestRecord[] sent = [.. summary.Requests.OrderBy(r => r.SentAt)];
        Assert.Equal(EvaluationPrompts.Types.SelectMany(t => Enumerable.Repeat(t, 3)), sent.Select(r => r.PromptType));
        // Batches of 2 and 1 per type: each begins after the end of the one before.
        int at = 0;
        double end = 0;
        foreach (int size in Enumerable.Repeat(new[] { 2, 1 }, 4).SelectMany(s => s))
        {
            Assert.All(sent[at..(at + size)], r => Assert.True(r.SentAt >= end));
            end = sent[at..(at + size)].Max(r => r.EndedAt);
            at += size;
        }

        Assert.All(server.Posts, p => Assert.DoesNotContain("max_", p.Body));
        Assert.All(server.Posts, p => Assert.DoesNotContain("temperature", p.Body));
        Assert.All(server.Posts, p => Assert.DoesNotContain("stream_options", p.Body));
    }

    [Fact]
    public async Task AnOpenLoadSendsAtItsTimesWhateverTheServerDoes()
    {
        // The server answers no one before all 12 have come.
        var all = new CountdownEvent(12);
        await using var server = new ScriptedServer(_ =>
        {
            all.Signal();
            Assert.True(all.Wait(TimeSpan.FromSeconds(20)));
            return Reply.Tokens(2);
        });
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfRate(100)));
        Assert.Equal(12, summary.Loads[0].Ok);
        Assert.Equal(12, summary.Loads[0].Throughput.PeakConcurrency);
        RequestRecord[] due = [.. summary.Requests.OrderBy(r => r.ScheduledAt)];
        Assert.All(due, r => Assert.True(r.SentAt >= r.ScheduledAt - 1e-9 && r.Lane == -1));
        Assert.True(due[^1].ScheduledAt - due[0].ScheduledAt > 0.02);
    }

    [Fact]
    public void PoissonArrivalsHaveTheirRateAndNoMemory()
    {
        ChatRequest request = ChatRequest.Create(new ChatFormat("m", true, 0, true, "max_tokens"), "t", "x", 1);
        PlannedRequest[] plan = LoadPlan.Poisson([.. Enumerable.Range(0, 20_000).Select(i => new PlannedRequest(request, i, null))], 5, 3);
        double[] gaps = [.. plan.Zip(plan.Skip(1), (a, b) => b.DueSeconds!.Value - a.DueSeconds!.Value)];
        Assert.Equal(0, plan[0].DueSeconds);
        Assert.InRange(gaps.Average(), 0.195, 0.205);
        // An exponential's deviation is its mean, and e^-1 of all gaps are longer.
        Assert.InRange(Math.Sqrt(gaps.Average(g => g * g) - gaps.Average() * gaps.Average()) / gaps.Average(), 0.97, 1.03);
        Assert.InRange(gaps.Count(g => g > 0.2) / (double)gaps.Length, 0.355, 0.381);
        Assert.Equal(plan.Select(p => p.DueSeconds), LoadPlan.Poisson([.. plan.Select(p => p with { DueSeconds = null })], 5, 3).Select(p => p.DueSeconds));
    }

    [Fact]
    public void MixedPlansHaveEveryTypeOncePerIteration()
    {
        ChatFormat format = new("m", true, 0, true, "max_tokens");
        ChatRequest[] prompts = [.. EvaluationPrompts.Types.Select(t => ChatRequest.Create(format, t, t, 1))];
        PlannedRequest[] plan = LoadPlan.Mixed(prompts, 50, 1);
        foreach (PlannedRequest[] iteration in plan.Chunk(4))
        {
            Assert.Single(iteration.Select(p => p.Iteration).Distinct());
            Assert.Equal(4, iteration.Select(p => p.Request.PromptType).Distinct().Count());
        }

        Assert.True(plan.Chunk(4).Select(c => string.Join(',', c.Select(p => p.Request.PromptType))).Distinct().Count() > 5);
        IReadOnlyList<PlannedRequest[]> turns = LoadPlan.Turns(plan, 4);
        Assert.Equal(4, turns.Count);
        Assert.Equal(plan.Select(p => (p.Request.PromptType, p.Iteration)), turns.SelectMany(t => t).Select(p => (p.Request.PromptType, p.Iteration)));
        Assert.All(turns, t => Assert.InRange(t.Length, 48, 52));
    }

    [Fact]
    public async Task ATraceIsReplayedWithItsLengthsAndTimes()
    {
        // A token of this server's is 2 bytes, plus 10 of its template.
        await using var server = new ScriptedServer(r => Reply.Tokens(2, promptTokens: Text(r).Length / 2 + 10));
        WorkloadRequest[] rows = [new(5, 600, 3, [1, 2]), new(5.1, 700, 4, [1, 2]), new(5.3, 90, 5, [9]), new(5.4, 20, 6, [])];
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfTrace("some/trace.jsonl", rows, 2)) with { WarmUp = 1 });
        Assert.Equal(2, summary.Config.BytesPerToken!.Value, 1e-2);
        RequestRecord[] sent = [.. summary.Requests.Where(r => r.Phase == Outcomes.Measured).OrderBy(r => r.Iteration)];
        Assert.Equal([3, 4, 5, 6], sent.Select(r => r.MaxCompletionTokens!.Value));
        // The server counts the template's tokens too.
        foreach ((RequestRecord record, WorkloadRequest row) in sent.Zip(rows)) Assert.InRange(record.PromptTokens!.Value - 10, row.PromptTokens - 2, row.PromptTokens + 2);
        Assert.All(sent, r => Assert.Equal("trace", r.PromptType));
        double first = sent[0].ScheduledAt;
        Assert.Equal([0, 0.05, 0.15, 0.2], sent.Select(r => Math.Round(r.ScheduledAt - first, 6)));
        LoadSection load = summary.Loads[0];
        Assert.Equal(("trace trace.jsonl x2", "trace", 2.0), (load.Name, load.Kind, load.TraceSpeed!.Value));
        Assert.Equal(["all", "trace"], load.Stages.Select(s => s.Name));
        // Requests that share block ids share the beginnings of their texts; others differ at once.
        string[] texts = [.. server.Posts.Skip(4).Select(Text).OrderByDescending(t => t.Length)];
        Assert.Equal(texts[0][..1024], texts[1][..1024]);
        Assert.NotEqual(texts[0][..8], texts[2][..8]);
    }

    [Fact]
    public void BytesPerTokenComeFromDifferences()
    {
        Assert.Equal(4, TraceTexts.Measure([(100, 45L), (900, 245L), (500, null)]));
        Assert.Null(TraceTexts.Measure([(100, 45L)]));
        Assert.Null(TraceTexts.Measure([(100, 45L), (900, 45L)]));
        Assert.Null(TraceTexts.Measure([(100, null), (900, null)]));
    }

    [Fact]
    public void GeneratedTracesAreReadBackAndRepeatable()
    {
        string text = TraceGenerator.Generate(400, 2, 600, 50, 0.5, 9);
        WorkloadRequest[] rows = MooncakeTrace.Read("generated", text.Split('\n'));
        Assert.Equal(400, rows.Length);
        Assert.Equal(text, TraceGenerator.Generate(400, 2, 600, 50, 0.5, 9));
        Assert.NotEqual(text, TraceGenerator.Generate(400, 2, 600, 50, 0.5, 10));
        Assert.InRange(rows.Average(r => r.PromptTokens), 450, 750);
        Assert.InRange(rows.Average(r => r.OutputTokens), 38, 62);
        Assert.InRange(rows[^1].ArrivalSeconds, 160, 240);
        Assert.True(Workload.CachedShare(rows) > 0.02);
    }

    [Fact]
    public async Task AnInterruptedRunKeepsWhatHadEnded()
    {
        using var cancel = new CancellationTokenSource();
        await using var server = new ScriptedServer(r =>
        {
            if (r.Number == 5) cancel.Cancel();
            return r.Number >= 5 ? Reply.Events().Role().Pause(5000).Done() : Reply.Tokens(2);
        });
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(1), LoadSpec.OfConcurrency(2)), cancellationToken: cancel.Token);
        Assert.True(summary.Run.WasCancelled);
        LoadSection load = Assert.Single(summary.Loads);
        Assert.Equal((4, 0, 1), (load.Ok, load.Failed, load.Cancelled));
        Assert.Equal(4, load.Stages[0].Metrics[MetricNames.Latency].Count);
        Assert.Contains(summary.Warnings, w => w.Contains("interrupted"));
        Assert.Empty(summary.Failures);
    }

    [Fact]
    public async Task FailuresPolluteNoFigureAndAreGrouped()
    {
        await using var server = new ScriptedServer(r => r.Number % 3 == 0 ? Reply.Json(400, """{"error":{"message":"bad","code":"context_length_exceeded"}}""").Pause(200) : Reply.Tokens(4, 1));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server) with { Objectives = Objectives.Parse("e2e:60s"), SloShare = 0.9 });
        LoadSection load = summary.Loads[0];
        Assert.Equal((8, 4), (load.Ok, load.Failed));
        Assert.Equal(8, load.Stages[0].Metrics[MetricNames.Latency].Count);
        ErrorGroup group = Assert.Single(load.Errors);
        Assert.Equal(("400 context_length_exceeded", 4), (group.Label, group.Count));
        // Failed requests miss the objectives.
        Assert.Equal(8 / 12.0, load.Goodput!.Share!.Value, 1e-9);
        Assert.False(load.Goodput.Met);
        Assert.False(summary.Slo!.Met);
        Assert.Contains(summary.Failures, f => f.Contains("wanted: 90.0"));
        Assert.Equal(4 * 8 / load.DurationSeconds, load.Goodput.OutputTokensPerSecond!.Value, 1e-6);
    }

    [Fact]
    public async Task NothingThatSucceedsIsAFailure()
    {
        await using var server = new ScriptedServer(_ => Reply.Json(401, """{"message":"who are you"}"""));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server));
        Assert.Contains("none of 12 requests succeeded; most frequent: 401: who are you", Assert.Single(summary.Failures));
        Assert.Empty(summary.Loads[0].Stages[0].Metrics);
    }

    [Fact]
    public async Task WhatAReaderHasToKnowIsSaid()
    {
        // All chunks in one packet, several tokens in each, most of the prompt from a cache.
        string all = string.Concat(Enumerable.Repeat("data: {\"choices\":[{\"delta\":{\"content\":\"ab\"}}]}\n\n", 6)) + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":12,\"total_tokens\":112,\"prompt_tokens_details\":{\"cached_tokens\":90}}}\n\ndata: [DONE]\n\n";
        await using var server = new ScriptedServer(r => Reply.Events().Data($$"""{"system_fingerprint":"fp_{{r.Number % 2}}"}""").Raw(all));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server));
        foreach (string part in (string[])["100 % of chunks arrived together", "90 % of prompt tokens came from the server's cache", "12 of 12 replies brought several tokens per chunk", "2 system fingerprints"]) Assert.Contains(summary.Warnings, w => w.Replace("%", " %", StringComparison.Ordinal).Replace("  ", " ", StringComparison.Ordinal).Contains(part, StringComparison.Ordinal));
        // And none of it of a server that does not do so.
        await using var plain = new ScriptedServer(_ => Reply.Tokens(3, 4));
        Assert.DoesNotContain((await EvaluationRuns.RunAsync(EvaluationRuns.Settings(plain))).Warnings, w => w.Contains("cache", StringComparison.Ordinal) || w.Contains("several tokens", StringComparison.Ordinal) || w.Contains("fingerprint", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AServerThatIsStartingIsWaitedFor()
    {
        await using var server = new ScriptedServer(_ => Reply.Tokens(2), n => n switch
        {
            1 => Reply.Json(503, """{"message":"starting"}"""),
            2 => Reply.Json(200, """{"data":[]}"""),
            _ => Reply.Json(200, """{"data":[{"object":"model"},{"id":"late-model"},{"id":"other"}]}"""),
        });
        var waits = new List<TimeSpan>();
        var clock = new RunClock((time, _) =>
        {
            waits.Add(time);
            return Task.CompletedTask;
        });
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server) with { Iterations = 1 }, clock);
        Assert.Equal(("late-model", "listed", 2), (summary.Config.Model, summary.Config.ModelSource, waits.Count));

        await using var empty = new ScriptedServer(_ => Reply.Tokens(2), _ => Reply.Json(200, """{"data":[]}"""));
        Assert.Contains("lists no model", (await Assert.ThrowsAsync<InvalidDataException>(() => EvaluationRuns.RunAsync(EvaluationRuns.Settings(empty), clock))).Message);
        await using var refusing = new ScriptedServer(_ => Reply.Tokens(2), _ => Reply.Json(401, """{"message":"who are you"}"""));
        Assert.Contains("401: who are you", (await Assert.ThrowsAsync<InvalidDataException>(() => EvaluationRuns.RunAsync(EvaluationRuns.Settings(refusing), clock))).Message);
    }

    [Fact]
    public async Task UnknownTokensMakeNoThroughput()
    {
        await using var server = new ScriptedServer(_ => Reply.Events().Role().Content("a").Pause(2).Content("b").Finish().Done());
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server));
        Assert.Null(summary.Loads[0].Throughput.OutputTokensPerSecond);
        Assert.False(summary.Loads[0].Stages[0].Metrics.ContainsKey(MetricNames.OutputSpeed));
        Assert.Contains(summary.Warnings, w => w.StartsWith("12 of 12 replies have no usage", StringComparison.Ordinal));
        Assert.Contains(summary.Warnings, w => w.Contains("time_info"));
    }

    private static string Text(ScriptedRequest request)
    {
        using JsonDocument body = JsonDocument.Parse(request.Body);
        return body.RootElement.GetProperty("messages")[0].GetProperty("content").GetString()!;
    }
}
