using System.Diagnostics;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>
/// Every stamp of the client against the server's own clock in the same process: nothing can have arrived before it was written, and what the client derives
/// follows from its stamps. No test asks how soon.
/// </summary>
public sealed class MetricTests
{
    private const int Tokens = 12, Pause = 15;

    [Fact]
    public async Task NothingArrivesBeforeItWasWritten()
    {
        await using var bench = new EndpointBench(_ => Reply.Events().Pause(40).Role().Pause(30).Content("a").Pause(Pause).Content("b").Pause(Pause).Content("c").Finish().Usage(5, 3).Done());
        RequestRecord r = await bench.SendAsync();
        ScriptedRequest s = Assert.Single(bench.Server.Posts);
        double At(long ticks) => bench.Clock.SecondsAt(ticks);
        Assert.True(r.SentAt <= At(s.ReceivedTicks));
        Assert.True(r.FirstByteAt >= At(s.WriteTicks[0]));
        Assert.True(r.FirstChunkAt >= At(s.WriteTicks[0]));
        Assert.True(r.FirstContentAt >= At(s.WriteTicks[1]));
        for (int i = 0; i < 3; i++) Assert.True(r.SentAt + r.ContentChunkSeconds[i] >= At(s.WriteTicks[1 + i]) - 1e-8, $"chunk {i}");
        Assert.True(r.LastContentAt >= At(s.WriteTicks[3]));
        Assert.True(r.EndedAt >= At(s.WriteTicks[^1]));
        // What the script held back is in the figures.
        Assert.True(r.Client.FirstChunkSeconds >= RunClock.Between(s.ReceivedTicks, s.WriteTicks[0]));
        Assert.True(r.Client.FirstTokenSeconds >= RunClock.Between(s.ReceivedTicks, s.WriteTicks[1]));
    }

    [Fact]
    public async Task FiguresFollowFromStamps()
    {
        await using var bench = new EndpointBench(_ => Reply.Tokens(Tokens, Pause));
        RequestRecord r = await bench.SendAsync();
        ClientTimes c = r.Client;
        Assert.Equal(Tokens, r.ContentChunkSeconds.Count);
        Assert.Equal((r.FirstContentAt - r.SentAt)!.Value, c.FirstTokenSeconds!.Value, 1e-7);
        Assert.Equal(r.ContentChunkSeconds[0], c.FirstTokenSeconds.Value, 1e-7);
        Assert.Equal(r.ContentChunkSeconds[1], c.SecondTokenSeconds!.Value, 1e-7);
        double span = r.ContentChunkSeconds[^1] - r.ContentChunkSeconds[0];
        // 12 tokens have 11 intervals; the pauses between them are the script's.
        Assert.Equal(span / (Tokens - 1), c.InterTokenSeconds!.Value, 1e-7);
        Assert.Equal(span / (Tokens - 1), 1 / c.OutputSpeed!.Value, 1e-7);
        Assert.Equal((r.EndedAt - r.SentAt)!.Value, c.LatencySeconds!.Value, 1e-7);
        Assert.Equal(c.LatencySeconds.Value - 0.025, c.NetworkOverheadSeconds!.Value, 1e-7);
        Assert.Equal(c.NetworkOverheadSeconds.Value / 0.025 * 100, c.NetworkOverheadPercent!.Value, 1e-4);
        Assert.Equal(Tokens / 0.02, r.Server!.Throughput!.Value, 1e-6);
        Assert.Equal(0.002, r.Server.UnattributedSeconds!.Value, 1e-9);
        Assert.Equal(r.ContentChunkSeconds.Zip(r.ContentChunkSeconds.Skip(1), (a, b) => b - a).Max(), c.LongestGapSeconds!.Value, 1e-6);
        Assert.True(r.ContentChunkSeconds.SequenceEqual(r.ContentChunkSeconds.Order()));
    }

    [Fact]
    public async Task TokensOfOneChunkAreCountedByTheServer()
    {
        // 40 tokens in 3 chunks: speculative decoding.
        await using var bench = new EndpointBench(_ => Reply.Events().Role().Content("a").Pause(20).Content("b").Pause(20).Content("c").Finish().Usage(5, 40).Done());
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((3, 40), (r.ContentChunks, r.CompletionTokens));
        Assert.Equal((r.ContentChunkSeconds[2] - r.ContentChunkSeconds[0]) / 39, r.Client.InterTokenSeconds!.Value, 1e-7);
    }

    [Fact]
    public async Task ChunksOfOnePacketHaveNoSpeed()
    {
        string all = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\ndata: [DONE]\n\n";
        await using var bench = new EndpointBench(_ => Reply.Events().Raw(all));
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Ok, 2), (r.Outcome, r.ContentChunks));
        // Arrived at once: an infinite speed is none.
        Assert.Null(r.Client.OutputSpeed);
        Assert.Null(r.Client.InterTokenSeconds);
        Assert.Equal(0, r.Client.LongestGapSeconds);
    }

    [Fact]
    public async Task AnEarlierAttemptIsInNoLatency()
    {
        // The rejected attempt itself takes long, and is followed by a long wait.
        await using var bench = new EndpointBench(r => r.Number == 1 ? Reply.TooMany().Header("retry-after", "60").Pause(200) : Reply.Tokens(3, 5));
        long before = Stopwatch.GetTimestamp();
        RequestRecord r = await bench.SendAsync();
        ScriptedRequest[] posts = [.. bench.Server.Posts];
        Assert.Equal(2, posts.Length);
        Assert.Equal(r.Attempts[1].StartedAt, r.SentAt!.Value, 1e-9);
        Assert.True(r.SentAt >= bench.Clock.SecondsAt(posts[0].WriteTicks[0]) + 0.19, "sent after the first attempt was answered");
        Assert.True(r.Attempts[0].EndedAt - r.Attempts[0].StartedAt >= 0.15, "the first attempt waited for the body");
        Assert.Equal(r.EndedAt - r.Attempts[1].StartedAt, r.Client.LatencySeconds!.Value, 1e-7);
        Assert.Equal(60, r.Client.RetryWaitSeconds);
        Assert.True(r.Client.ResponseSeconds >= r.Client.LatencySeconds + 0.15);
        Assert.True(r.Client.ScheduleDelaySeconds <= RunClock.Between(before, Stopwatch.GetTimestamp()));
    }
}
