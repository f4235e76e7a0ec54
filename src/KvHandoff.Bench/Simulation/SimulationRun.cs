using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Simulation;

/// <summary>A question to the simulation: one run, and runs beside it that differ in one thing.</summary>
internal sealed record SimulationRun
{
    /// <summary>Rate over what the formulas say, where saturation is looked for.</summary>
    private const double Overload = 1.5;

    private const int GoodputSteps = 9;

    internal required SimulationSettings Settings { get; init; }

    /// <summary>Where the requests' sizes are from.</summary>
    internal required IReadOnlyList<WorkloadRequest> Sizes { get; init; }

    internal required string WorkloadName { get; init; }

    internal int Requests { get; init; }

    internal ArrivalKind Arrivals { get; init; } = ArrivalKind.Poisson;

    /// <summary>Requests per second; null for the sizes' own.</summary>
    internal double? Rate { get; init; }

    internal double Burstiness { get; init; } = 1;

    internal bool IsShuffled { get; init; }

    internal IReadOnlyList<int> Nodes { get; init; } = [];

    internal IReadOnlyList<Link> Links { get; init; } = [];

    internal IReadOnlyList<CodecFigures> Codecs { get; init; } = [];

    /// <summary>Share of requests that have to meet the objectives, if the highest such rate is asked for.</summary>
    internal double? GoodputShare { get; init; }

    internal double MeanPrompt => Sizes.Average(s => (double)s.PromptTokens);

    internal double MeanOutput => Sizes.Average(s => (double)s.OutputTokens);

    /// <summary>The four rates for requests of mean size; the decode side is all its nodes.</summary>
    internal Saturation Ceilings
    {
        get
        {
            Saturation one = Settings.Deployment.Saturation(MeanPrompt, MeanOutput, Settings.Deployment.Link);
            int nodes = Settings.DecodeNodes;
            return new Saturation(one.PrefillNode, one.Link * nodes, one.Memory * nodes, one.Decode * nodes);
        }
    }

    internal SimulationSummary Run(IJobDisplay display, CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        Saturation ceilings = Ceilings;
        SimulationRow Step(string name, SimulationSettings settings, double? rate)
        {
            display.Begin(name);
            SimulationRow row = Row(name, settings, rate, cancellationToken);
            display.End(string.Create(CultureInfo.InvariantCulture, $"{PlanQuantity.Number(row.CompletedPerSecond)} requests/s, first token {PlanQuantity.Seconds(row.FirstToken.P50)}, limit: {row.Limit}"));
            return row;
        }

        SimulationRow run = Step("as asked", Settings, Rate);
        SimulationRow[] nodes = [.. Nodes.Select(n => Step(n == 1 ? "1 prefill node" : $"{n} prefill nodes", Settings with { PrefillNodes = n }, ceilings.Ceiling > 0 ? Overload * ceilings.Throughput(n) : Rate))];
        SimulationRow[] links = [.. Links.Select(l => Step(l.Name, Settings with { Deployment = Settings.Deployment with { Link = l } }, Rate))];
        SimulationRow[] codecs = [.. Codecs.Select(c => Step(c.Name, Settings with { Deployment = Settings.Deployment with { Codec = c } }, Rate))];
        double? goodput = GoodputShare is { } share ? Goodput(share, ceilings, display, cancellationToken) : null;
        return new SimulationSummary
        {
            Model = Settings.Deployment.Model.Name,
            Prefill = Settings.Deployment.Prefill.Name,
            Decode = Settings.Deployment.Decode.Name,
            Workload = WorkloadName,
            Seed = Settings.Seed,
            Run = run,
            Nodes = nodes,
            Links = links,
            Codecs = codecs,
            Ceilings = new SimulationCeilings
            {
                MeanPromptTokens = MeanPrompt,
                MeanOutputTokens = MeanOutput,
                PrefillNode = ceilings.PrefillNode,
                Link = ceilings.Link,
                Memory = ceilings.Memory,
                Decode = ceilings.Decode,
                PrefillNodes = ceilings.PrefillNodes,
                Limit = PlanRun.Named(ceilings.CeilingResource),
            },
            GoodputRequestsPerSecond = goodput,
            ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
        };
    }

    // Up while the objectives are met, then halving the gap.
    private double Goodput(double share, Saturation ceilings, IJobDisplay display, CancellationToken cancellationToken)
    {
        display.Begin("searching for the highest rate within the objectives");
        double low = 0, high = Math.Max(1e-3, 1.2 * ceilings.Throughput(Settings.PrefillNodes));
        for (int step = 0; step < GoodputSteps; step++)
        {
            double middle = (low + high) / 2;
            if (Row("", Settings, middle, cancellationToken).WithinObjectives >= share) low = middle;
            else high = middle;
        }

        display.End($"{PlanQuantity.Number(low)} requests/s");
        return low;
    }

    private SimulationRow Row(string name, SimulationSettings settings, double? rate, CancellationToken cancellationToken)
    {
        ArrivalKind kind = Arrivals == ArrivalKind.Trace && rate is not null && Rate is null ? ArrivalKind.Poisson : Arrivals;
        WorkloadRequest[] work = Workload.Make(Sizes, Requests, kind, rate, Burstiness, IsShuffled, new SimulationRandom(settings.Seed));
        long started = Stopwatch.GetTimestamp();
        SimulationResult result = Simulator.Run(settings, work, cancellationToken);
        double wall = Stopwatch.GetElapsedTime(started).TotalSeconds;
        SimulatedRequest[] done = [.. result.Done];
        (double prefill, double link, double memory, double decode, double codec, double fabric) = result.Utilisation;
        double Mean(Func<SimulatedRequest, double> of) => done.Length == 0 ? 0 : done.Average(of);
        return new SimulationRow
        {
            Name = name,
            PrefillNodes = settings.PrefillNodes,
            DecodeNodes = settings.DecodeNodes,
            Link = settings.Deployment.Link.Name,
            Codec = settings.Deployment.Codec.Name,
            Requests = result.Requests.Count,
            OfferedPerSecond = result.Requests.Count / result.ArrivalSpan,
            CompletedPerSecond = result.CompletedPerSecond,
            Completed = result.Completed,
            Failed = result.Failed,
            Rejected = result.Rejected,
            InFlight = result.InFlight + result.NotArrived,
            WithinObjectives = result.WithinObjectives,
            FirstToken = Times(done, r => r.FirstToken - r.Arrival),
            PerToken = Times(done, r => (r.Finished - r.Committed) / r.Output),
            Answer = Times(done, r => r.Finished - r.Arrival),
            PrefillWaitSeconds = Mean(r => r.PrefillStart - r.Arrival),
            PrefillSeconds = Mean(r => r.PrefillEnd - r.PrefillStart),
            ExposedSeconds = Mean(r => r.Committed - r.PrefillEnd),
            DecodeSeconds = Mean(r => r.Finished - r.Committed),
            GrantWaitSeconds = Mean(r => r.Granted - r.Offered),
            LinkWaitSeconds = Mean(r => r.LinkStart - r.Granted),
            PrefillUtilisation = prefill,
            LinkUtilisation = link,
            MemoryUtilisation = memory,
            DecodeUtilisation = decode,
            CodecUtilisation = codec,
            FabricUtilisation = fabric,
            Limit = result.Limit,
            CachedShare = result.PromptTokens > 0 ? result.CachedTokens / result.PromptTokens : 0,
            SentBytes = result.SentBytes,
            AbortedBytes = result.AbortedBytes,
            NodeFailures = result.Failures,
            Restarts = result.Restarts,
            SimulatedSeconds = result.Seconds,
            Events = result.Events,
            WallSeconds = wall,
        };
    }

    private static SimulationTimes Times(SimulatedRequest[] done, Func<SimulatedRequest, double> of)
    {
        if (done.Length == 0) return new SimulationTimes();
        double[] sorted = [.. done.Select(of).Order()];
        double At(double share) => sorted[Math.Max(0, (int)Math.Ceiling(share * sorted.Length) - 1)];
        return new SimulationTimes { Mean = sorted.Average(), P50 = At(0.5), P90 = At(0.9), P99 = At(0.99) };
    }
}
