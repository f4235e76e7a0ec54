using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Latency;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Tests.Reports;

/// <summary>Pages with everything in them, for tests that open them.</summary>
internal static class PageSamples
{
    internal const string Hostile = "<script>alert('1')</script>\"&'\u0001<img src=x onerror=alert(2)>";

    /// <summary>The page and its plots.</summary>
    internal static string WriteEvaluation(string directory)
    {
        EvaluationReport.Write(EvaluationData.Run(concurrencies: [1, 2, 4, 8], hasBaseline: true), directory, Sweep(), null);
        return Path.Combine(directory, "report.html");
    }

    internal static string WriteComparison(string directory)
    {
        ComparedRun[] runs = [ComparedRun.Of("before", EvaluationData.Run()), ComparedRun.Of("after", EvaluationData.Run(seed: 2, slowness: 1.2))];
        string path = Path.Combine(directory, "comparison.html");
        File.WriteAllText(path, ComparisonPage.Render(RunComparison.Of(runs, [FailCondition.Parse("ttft_ms:p50>10%")!]), runs));
        return path;
    }

    internal static string WriteHandoff(string directory)
    {
        string path = Path.Combine(directory, "handoff.html");
        File.WriteAllText(path, HtmlReport.Render(Sweep()));
        return path;
    }

    /// <summary>A handoff job's result: transfers, a sweep of two transports, and two prompts.</summary>
    internal static Summary Sweep(double slowness = 1)
    {
        SweepRow Row(string transport, long bytes, double latency, double gbps) => new() { Transport = transport, Tokens = (int)(bytes / 6144), Bytes = bytes, Handoffs = 100, P50Us = (latency + bytes / gbps / 1e3) * slowness, P99Us = (latency * 2 + bytes / gbps / 1e3) * slowness, Gbps = bytes / (latency + bytes / gbps / 1e3) / 1e3 / slowness, MessagesPerSecond = 1e6 / (latency + bytes / gbps / 1e3) / slowness };
        SweepRow[] rows = [.. Enumerable.Range(0, 8).Select(i => 393_216L << i).SelectMany(b => new[] { Row("tcp", b, 210, 4.1), Row("shm", b, 60, 9.2) })];
        var phases = new Dictionary<string, double> { ["queue"] = 0.02, ["reserve"] = 0.0002, ["gather"] = 0.03, ["encode"] = 0.0, ["wire"] = 0.2, ["verify"] = 0.06, ["place"] = 0.01, ["commit"] = 0.0003, ["first_attend"] = 0.001 };
        PromptRow Prompt(string name, double prefill) => new() { Name = name, PromptTokens = 39, CompletionTokens = 128, TokensEqual = true, TtftMs = prefill + 3, PrefillMs = prefill, FirstDecodeMs = 2.1, TpotMs = 1.8, Handoff = new HandoffRow { Bytes = 239_616, WireBytes = 240_000, Seconds = (prefill + 2) / 1e3, ExposedSeconds = 0.0021, Phases = phases } };
        return new Summary
        {
            Environment = EvaluationData.Environment,
            Limits = new LimitsSection { MemcpyGbps = 9.5, ReadGbps = 18, TcpLoopbackGbps = 4.2, BufferBytes = 1 << 28 },
            Reference = new ReferenceSection { Model = "llama-bytes-5m", Codec = "raw", TokensEqual = true, Prompts = [Prompt("short-short", 12), Prompt("long-short", 160)] },
            Transfers = [.. new[] { "tcp", "shm" }.Select(t => new TransferRow { Model = "llama-3.3-70b", Tokens = 3100, KvBytes = 1_015_808_000, WireBytes = 1_016_000_000, Codec = "raw", Transport = t, Streams = 1, Seconds = 0.25 * slowness, Gbps = 4.06 / slowness, OfMemcpy = 0.43, OfTcpLoopback = 0.97, Phases = phases, Verified = true, SecondsSamples = [.. new[] { 0.24, 0.25, 0.26, 0.251, 0.249, 0.255 }.Select(s => s * slowness)] })],
            Sweep = rows,
            Fits = [.. rows.GroupBy(r => r.Transport).Select(g => LatencyFit.Of(g.Key, [.. g]))],
        };
    }
}
