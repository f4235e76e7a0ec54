using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Files;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Evaluation.Statistics;
using KvHandoff.Bench.Limits;

namespace KvHandoff.Bench.Evaluation;

/// <summary>Runs an evaluation: per load and route connections, warm-up, then the measured turns. Interrupted, it gives what there is.</summary>
/// <param name="settings">What to do.</param>
/// <param name="progress">Where it says how far it is.</param>
/// <param name="clock">Of the run.</param>
/// <param name="records">Where each request goes as soon as it has ended; null: nowhere but into the summary.</param>
internal sealed class EvaluationJob(EvaluationSettings settings, IEvaluationProgress progress, RunClock clock, RecordsFile? records = null)
{
    private const int MostConnectionsOpened = 256, MostModelQuestions = 20;
    private readonly List<RequestRecord> _all = [];
    private readonly Lock _lock = new();
    private double? _bytesPerToken;

    /// <summary>One load on one route, as it goes.</summary>
    private sealed class Section(LoadSpec load, string route)
    {
        internal LoadSpec Load => load;

        internal string Route => route;

        internal List<(double From, double To)> Turns { get; } = [];

        internal ClientLoadSection? Client { get; set; }

        internal double Seconds => Turns.Sum(t => t.To - t.From);
    }

    /// <exception cref="InvalidDataException">The endpoint cannot be asked for its models, or a shipped text is missing.</exception>
    internal async Task<EvaluationSummary> RunAsync(CancellationToken cancellationToken)
    {
        string runId = string.Create(CultureInfo.InvariantCulture, $"{clock.StartedAt:yyyyMMdd-HHmmss}-{Random.Shared.Next(1 << 24):x6}");
        using var connection = new EndpointConnection(settings.Endpoint, settings.Key);
        (string model, bool isListed) = await ModelAsync(connection, cancellationToken);
        var format = new ChatFormat(model, settings.Stream, settings.Temperature, settings.IncludeUsage, settings.LimitField);
        EvaluationPrompt[] prompts = [.. EvaluationPrompts.Load(settings.PromptSet).Where(p => settings.Types.Contains(p.Type))];
        ChatRequest[] requests = [.. prompts.Select(p => ChatRequest.Create(format, p.Type, p.Text, LimitOf(p)))];
        var jitter = new Random(unchecked((int)settings.Seed));
        var sender = new RequestSender(connection, clock, new RetryPolicy(settings.MaxAttempts, settings.RetryWait, () => Draw(jitter)), settings.Timeout, settings.Stream);
        string[] routes = settings.HasBaseline ? [BaselineSection.Disaggregated, BaselineSection.Monolithic] : ["default"];
        var sections = new List<Section>();
        int turns = 0;
        foreach (LoadSpec load in settings.Loads)
        {
            if (cancellationToken.IsCancellationRequested) break;
            int first = sections.Count;
            sections.AddRange(routes.Select(r => new Section(load, r)));
            var run = new LoadRun(sender, clock, $"{runId}-{first}", record => Take(load, record));
            turns = Math.Max(turns, await RunLoadAsync(run, connection, load, sections, first, requests, format, cancellationToken));
        }

        return Summarise(runId, model, isListed, prompts, sections, turns, cancellationToken.IsCancellationRequested);
    }

    private async Task<int> RunLoadAsync(LoadRun run, EndpointConnection connection, LoadSpec load, List<Section> sections, int first, ChatRequest[] requests, ChatFormat format, CancellationToken cancellationToken)
    {
        int routes = sections.Count - first;
        ulong seed = SampleStatistics.SeedOf(settings.Seed, load.Name);
        int? lanes = load.Kind == LoadSpec.Closed ? load.Concurrency : null;
        try
        {
            await connection.OpenAsync(Math.Min(lanes ?? 1, MostConnectionsOpened), cancellationToken);
        }
        catch (OperationCanceledException)
        {
            return 0;
        }

        for (int r = 0; r < routes && settings.WarmUp > 0; r++)
        {
            progress.Step($"{load.Name}, {sections[first + r].Route}: warming up");
            await run.RunAsync(Fresh(LoadPlan.Mixed(requests, settings.WarmUp, seed + 1), format, load, "w"), lanes ?? 1, false, new LoadRun.Place(first + r, sections[first + r].Route, 0, Outcomes.WarmUp), cancellationToken);
        }

        PlannedRequest[] plan = load.Kind == LoadSpec.Trace ? Plan(load, requests, format, seed) : Fresh(Plan(load, requests, format, seed), format, load, "");
        int iterations = plan.Length == 0 ? 0 : plan.Max(p => p.Iteration) + 1;
        IReadOnlyList<PlannedRequest[]> turns = routes == 1 ? [plan] : LoadPlan.Turns(plan, Math.Min(EvaluationSettings.MostTurns, iterations));
        for (int r = 0; r < routes; r++) progress.LoadStarted(load, sections[first + r].Route, plan.Length);
        for (int turn = 0; turn < turns.Count && !cancellationToken.IsCancellationRequested; turn++)
        {
            for (int k = 0; k < routes && !cancellationToken.IsCancellationRequested; k++)
            {
                // ABBA: what drifts over the run meets both routes alike.
                int r = turn % 2 == 0 ? k : routes - 1 - k;
                await RunTurnAsync(run, sections[first + r], turns[turn], lanes, new LoadRun.Place(first + r, sections[first + r].Route, turn, Outcomes.Measured), cancellationToken);
            }
        }

        return turns.Count;
    }

    private async Task RunTurnAsync(LoadRun run, Section section, PlannedRequest[] requests, int? lanes, LoadRun.Place place, CancellationToken cancellationToken)
    {
        using var meter = new ClientMeter();
        double from = clock.Now, before = section.Seconds;
        await run.RunAsync(requests, lanes, settings.SeedCompat, place, cancellationToken);
        section.Turns.Add((from, clock.Now));
        ClientLoadSection client = await meter.StopAsync();
        section.Client = section.Client is { } earlier ? ClientMeter.Add(earlier, before, client, section.Seconds - before) : client;
    }

    private PlannedRequest[] Plan(LoadSpec load, ChatRequest[] requests, ChatFormat format, ulong seed)
    {
        switch (load.Kind)
        {
            case LoadSpec.Trace:
                // Of the warm-up, which has short and long prompts.
                _bytesPerToken = settings.BytesPerToken ?? TraceTexts.Measure(Snapshot().Where(r => r.Outcome == Outcomes.Ok && r.PromptType != EvaluationPrompts.TraceType).Select(r => (requests.First(q => q.Sha256 == r.PromptSha256).TextBytes, r.PromptTokens))) ?? TraceTexts.UsualBytesPerToken;
                return LoadPlan.Trace(load.Rows, load.TraceSpeed ?? 1, new TraceTexts(EvaluationPrompts.Corpus(), _bytesPerToken.Value), format);
            case LoadSpec.Poisson:
                return LoadPlan.Poisson(LoadPlan.Mixed(requests, settings.Iterations, seed), load.RatePerSecond!.Value, seed + 2);
            default:
                return settings.SeedCompat ? LoadPlan.ByType(requests, settings.Iterations) : LoadPlan.Mixed(requests, settings.Iterations, seed);
        }
    }

    // Both routes of a baseline get the same texts.
    private PlannedRequest[] Fresh(PlannedRequest[] plan, ChatFormat format, LoadSpec load, string phase) => !settings.FreshPrompts ? plan
        : [.. plan.Select(p => p with { Request = ChatRequest.Create(format, p.Request.PromptType, string.Create(CultureInfo.InvariantCulture, $"({settings.Seed}.{settings.Loads.Index().First(l => ReferenceEquals(l.Item, load)).Index + 1}.{phase}{p.Iteration + 1}) {p.Request.Text}"), p.Request.MaxCompletionTokens) })];

    private void Take(LoadSpec load, RequestRecord record)
    {
        record = record with { WithinSlo = Objectives.Judge(settings.Objectives, record) };
        lock (_lock) _all.Add(record);
        records?.Add(record);
        progress.RequestEnded(load, record);
    }

    private RequestRecord[] Snapshot()
    {
        lock (_lock) return [.. _all];
    }

    private EvaluationSummary Summarise(string runId, string model, bool isListed, EvaluationPrompt[] prompts, List<Section> sections, int turns, bool wasCancelled)
    {
        RequestRecord[] all = Snapshot(), measured = [.. all.Where(r => r.Phase == Outcomes.Measured)];
        SloSection? slo = settings.Objectives.Count == 0 ? null : new SloSection { Objectives = settings.Objectives, WantedShare = settings.SloShare };
        LoadSection[] loads = [.. sections.Select((s, i) => LoadStatistics.Of(s.Load, s.Route, [.. measured.Where(r => r.Load == i)], s.Turns, s.Client ?? new ClientLoadSection(), slo, settings.Seed))];
        foreach (LoadSection section in loads) progress.LoadEnded(section);
        BaselineSection? baseline = settings.HasBaseline
            ? RouteComparison.Of([.. Enumerable.Range(0, sections.Count / 2).Select(i => (sections[2 * i].Load.Name, 2 * i, 2 * i + 1))], all, turns, settings.Temperature == 0, settings.Seed)
            : null;
        if (slo is { WantedShare: not null }) slo = slo with { Met = loads.All(l => l.Goodput?.Met != false) };
        bool isTooLong = all.Sum(r => (long)r.ContentChunkSeconds.Count) > RecordsFile.MostChunksInSummary;
        var summary = new EvaluationSummary
        {
            Run = new RunSection
            {
                Id = runId,
                StartedAt = clock.StartedAt.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture),
                StartedAtUnixNanoseconds = (clock.StartedAt - DateTimeOffset.UnixEpoch).Ticks * 100,
                CommandLine = settings.Key?.Hide(settings.CommandLine) ?? settings.CommandLine,
                Seed = settings.Seed,
                WasCancelled = wasCancelled,
                ClockTicksPerSecond = Stopwatch.Frequency,
            },
            Environment = MachineDescription.Describe(),
            Config = new ConfigSection
            {
                Endpoint = settings.Endpoint.ToString(),
                Model = model,
                ModelSource = isListed ? "listed" : "asked",
                ApiKeyVariable = settings.Key?.Variable,
                Stream = settings.Stream,
                Temperature = settings.Temperature,
                PromptSet = settings.PromptSet,
                FreshPrompts = settings.FreshPrompts,
                BytesPerToken = _bytesPerToken,
                Iterations = settings.Iterations,
                WarmUpPerType = settings.WarmUp,
                TimeoutSeconds = settings.Timeout.TotalSeconds,
                MaxAttempts = settings.MaxAttempts,
                MaxRetryWaitSeconds = settings.RetryWait.TotalSeconds,
                SeedCompat = settings.SeedCompat,
                PromptSetSha256 = EvaluationPrompts.SetSha256(prompts),
            },
            Prompts = [.. prompts.Select(p => new PromptSection { Type = p.Type, Sha256 = p.Sha256, Bytes = System.Text.Encoding.UTF8.GetByteCount(p.Text), MaxCompletionTokens = LimitOf(p) })],
            Slo = slo,
            Loads = loads,
            Baseline = baseline,
            Requests = all,
            ElapsedSeconds = clock.Now,
        };
        summary = summary with { Failures = [.. Findings.Failures(summary)], Warnings = [.. Findings.Warnings(summary)] };
        return isTooLong ? summary with { ChunkTimesOmitted = true, Requests = [.. all.Select(r => r with { ContentChunkSeconds = [] })] } : summary;
    }

    private async Task<(string Model, bool IsListed)> ModelAsync(EndpointConnection connection, CancellationToken cancellationToken)
    {
        if (settings.Model is { } named) return (named, false);
        progress.Step($"Asking {settings.Endpoint.Models} for a model");
        // A server that answers and has no model yet is starting.
        for (int asked = 1; ; asked++)
        {
            IReadOnlyList<string>? models = await connection.ModelsAsync(isLast: asked == MostModelQuestions, cancellationToken);
            if (models is { Count: > 0 }) return (models[0], true);
            await clock.DelayAsync(TimeSpan.FromSeconds(1), cancellationToken);
        }
    }

    // The study asked for no limit; everything else does, so that runs have the same work.
    private int? LimitOf(EvaluationPrompt prompt) => settings.SeedCompat ? null : settings.CompletionTokens is { } most ? Math.Min(most, prompt.CompletionTokens) : prompt.CompletionTokens;

    private static double Draw(Random random)
    {
        lock (random) return random.NextDouble();
    }
}
