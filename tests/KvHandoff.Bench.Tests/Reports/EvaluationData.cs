using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Evaluation.Statistics;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Tests.Reports;

/// <summary>Results of evaluations that never ran: times from a seeded model of a small gateway, figures by the program's own arithmetic.</summary>
internal static class EvaluationData
{
    internal static readonly string[] Types = ["short_input_short_output", "short_input_long_output", "long_input_short_output", "long_input_long_output"];

    private static readonly (int Prompt, int Completion)[] Sizes = [(39, 110), (66, 620), (2100, 96), (2100, 640)];

    internal static EnvironmentSection Environment { get; } = new() { Cpu = "Test CPU", Cores = 2, MemoryBytes = 8_000_000_000, Os = "Linux", Dotnet = ".NET 10", Isa = "avx2", VectorBits = 256, Version = "0.1.0", Time = "2026-11-22T05:00:00Z" };

    /// <summary>A run over several concurrencies, with retries and some failures.</summary>
    internal static EvaluationSummary Run(int iterations = 12, IReadOnlyList<int>? concurrencies = null, bool hasHandoff = true, double failureShare = 0.03, double slowness = 1, ulong seed = 1, string model = "llama-bytes-5m", bool hasBaseline = false, string errorText = "Requests per minute limit exceeded - too many requests sent.")
    {
        var slo = new SloSection { Objectives = [new("ttft", MetricNames.FirstToken, 0.25), new("itl", MetricNames.InterToken, 0.01)], WantedShare = 0.9, Met = true };
        var records = new List<RequestRecord>();
        var loads = new List<LoadSection>();
        var pairs = new List<(string, int, int)>();
        double at = 0;
        foreach (int concurrency in concurrencies ?? [4])
        {
            string[] routes = hasBaseline ? ["disaggregated", "monolithic"] : ["default"];
            foreach (string route in routes)
            {
                var random = new Random((int)seed * 1000 + loads.Count);
                double begin = at;
                RequestRecord[] mine = [.. Load(random, loads.Count, route, concurrency, iterations, begin, hasHandoff && route != "monolithic", failureShare, slowness, slo, model, errorText)];
                at = mine.Max(r => r.EndedAt) + 0.5;
                records.AddRange(mine.OrderBy(r => r.EndedAt));
                var spec = new LoadSpec { Name = $"concurrency {concurrency}", Kind = "closed", Concurrency = concurrency };
                loads.Add(LoadStatistics.Of(spec, route, [.. mine.Where(r => r.Phase == "measured")], [(begin, at - 0.5)], new ClientLoadSection { CpuSeconds = 1.5, CpuShare = 0.12, CoresUsed = 0.24 }, slo, seed));
            }

            if (hasBaseline) pairs.Add(($"concurrency {concurrency}", loads.Count - 2, loads.Count - 1));
        }

        return new EvaluationSummary
        {
            Run = new RunSection { Id = "20261122-050000-abcd", StartedAt = "2026-11-22T05:00:00.0000000Z", StartedAtUnixNanoseconds = 1_795_323_600_000_000_000, CommandLine = "evaluate --endpoint http://127.0.0.1:8080 --iterations 12", Seed = seed, ClockTicksPerSecond = 1_000_000_000 },
            Environment = Environment,
            Config = new ConfigSection { Endpoint = "http://127.0.0.1:8080", Model = model, Stream = true, Temperature = 0, Iterations = iterations, WarmUpPerType = 1, TimeoutSeconds = 60, MaxAttempts = 5, MaxRetryWaitSeconds = 120, PromptSetSha256 = new string('a', 64) },
            Prompts = [.. Types.Select((t, i) => new PromptSection { Type = t, Sha256 = new string((char)('b' + i), 64), Bytes = Sizes[i].Prompt, MaxCompletionTokens = Sizes[i].Completion })],
            Slo = slo with { Met = loads.All(l => l.Goodput!.Share >= 0.9) },
            Loads = loads,
            Baseline = hasBaseline ? RouteComparison.Of(pairs, records, 1, true, seed) : null,
            Requests = records,
            ElapsedSeconds = at,
        };
    }

    private static IEnumerable<RequestRecord> Load(Random random, int load, string route, int concurrency, int iterations, double begin, bool hasHandoff, double failureShare, double slowness, SloSection slo, string model, string errorText)
    {
        double[] lanes = [.. Enumerable.Repeat(begin, concurrency)];
        for (int i = -1; i < iterations; i++)
        {
            for (int t = 0; t < Types.Length; t++)
            {
                int lane = Array.IndexOf(lanes, lanes.Min());
                RequestRecord record = Request(random, load, route, t, i, lane, lanes[lane], concurrency, hasHandoff, failureShare, slowness, model, errorText);
                lanes[lane] = record.EndedAt + 0.002;
                yield return record with { WithinSlo = Objectives.Judge(slo.Objectives, record) };
            }
        }
    }

    private static RequestRecord Request(Random random, int load, string route, int type, int iteration, int lane, double due, int concurrency, bool hasHandoff, double failureShare, double slowness, string model, string errorText)
    {
        double Noise(double share) => 1 + share * (random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5);
        (int prompt, int completion) = Sizes[type];
        double queue = 0.0005 * concurrency * Noise(0.8), prefill = (0.004 + prompt * 55e-6) * Noise(0.15) * slowness, wire = prompt * 9e-6 * Noise(0.2), exposed = hasHandoff ? (0.0012 + wire / 6) * Noise(0.5) : 0, step = 0.0021 * Noise(0.2);
        double perToken = 0.0019 * Math.Pow(concurrency, 0.35) * Noise(0.1) * slowness, network = 0.0015 * Noise(0.4), rest = 0.0008 * Noise(0.5);
        if (random.NextDouble() < 0.04) perToken *= 2.2;
        double decode = perToken * completion, total = queue + prefill + exposed + decode + rest, sent = due;
        var attempts = new List<AttemptRecord>();
        var error = new RequestError { Label = "429 request_quota_exceeded", Status = 429, Code = "request_quota_exceeded", Type = "too_many_requests_error", Message = errorText };
        if (random.NextDouble() < 0.05)
        {
            attempts.Add(new AttemptRecord { StartedAt = sent, HeadersAt = sent + 0.003, EndedAt = sent + 0.004, Status = 429, Error = error, WaitSeconds = 0.4, WaitReason = "retry-after: 0.4", RateLimits = new Dictionary<string, double> { ["remaining-requests-minute"] = 0, ["limit-requests-minute"] = 60 } });
            sent += 0.404;
        }

        string id = $"{load}-{type}-{iteration}", phase = iteration < 0 ? "warm_up" : "measured";
        if (random.NextDouble() < failureShare)
        {
            attempts.Add(new AttemptRecord { StartedAt = sent, HeadersAt = sent + 0.003, EndedAt = sent + 0.05, Status = 200, Error = error with { Label = "cut stream", Status = null } });
            return new RequestRecord { Id = id, Load = load, Route = route, PromptType = Types[type], Phase = phase, Iteration = iteration, Lane = lane, PromptSha256 = new string((char)('b' + type), 64), Outcome = "error", Error = error with { Label = "cut stream", Status = null }, ScheduledAt = due, SentAt = sent, EndedAt = sent + 0.05, Attempts = attempts };
        }

        double first = network / 2 + queue + prefill + exposed + step, last = network + total, second = first + perToken;
        attempts.Add(new AttemptRecord { StartedAt = sent, HeadersAt = sent + 0.002, EndedAt = sent + last, Status = 200, RateLimits = new Dictionary<string, double> { ["remaining-requests-minute"] = 59 - iteration, ["limit-requests-minute"] = 60 } });
        var phases = new Dictionary<string, double> { ["queue"] = queue, ["reserve"] = 0.0001, ["gather"] = wire * 0.2, ["encode"] = wire * 0.35, ["wire"] = wire, ["verify"] = wire * 0.25, ["place"] = wire * 0.3, ["commit"] = 0.0002, ["first_attend"] = step };
        return new RequestRecord
        {
            Id = id,
            Load = load,
            Route = route,
            PromptType = Types[type],
            Phase = phase,
            Iteration = iteration,
            Lane = lane,
            PromptSha256 = new string((char)('b' + type), 64),
            Outcome = "ok",
            ScheduledAt = due,
            SentAt = sent,
            FirstByteAt = sent + first * 0.9,
            FirstChunkAt = sent + first * 0.95,
            FirstContentAt = sent + first,
            LastContentAt = sent + last - 0.0005,
            EndedAt = sent + last,
            ContentChunkSeconds = [first, second],
            Chunks = completion + 2,
            ContentChunks = completion,
            TokenSource = "usage",
            PromptTokens = prompt,
            CompletionTokens = completion,
            TotalTokens = prompt + completion,
            FinishReason = "length",
            ResponseModel = model,
            SystemFingerprint = "fp_test",
            TextSha256 = new string((char)('b' + type), 64),
            Server = new ServerTimes { QueueSeconds = queue, PromptSeconds = prefill, CompletionSeconds = decode, TotalSeconds = total, HandoffSeconds = hasHandoff ? exposed : null, UnattributedSeconds = rest, Throughput = completion / decode, Handoff = hasHandoff ? new HandoffDetail { KvBytes = prompt * 6144L, WireBytes = prompt * 6200L, ExposedSeconds = exposed, FirstStepSeconds = step, Phases = phases } : null },
            Workers = new Dictionary<string, string> { ["prefill-worker"] = "p0", ["decode-worker"] = $"d{lane % 2}" },
            Client = new ClientTimes { FirstChunkSeconds = first * 0.95, FirstTokenSeconds = first, SecondTokenSeconds = second, InterTokenSeconds = (last - 0.0005 - first) / (completion - 1), LongestGapSeconds = perToken * 3, LatencySeconds = last, ResponseSeconds = sent + last - due, ScheduleDelaySeconds = 0, RetryWaitSeconds = sent - due, OutputSpeed = (completion - 1) / (last - 0.0005 - first), NetworkOverheadSeconds = last - total, NetworkOverheadPercent = (last - total) / total * 100 },
            Attempts = attempts,
        };
    }
}
