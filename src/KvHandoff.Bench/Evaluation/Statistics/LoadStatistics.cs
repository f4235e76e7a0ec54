using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;

namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>What came of one load on one route.</summary>
internal static class LoadStatistics
{
    internal const string AllTypes = "all";

    /// <param name="spec">What was offered.</param>
    /// <param name="route">Of all the records.</param>
    /// <param name="records">Measured requests of this load and route.</param>
    /// <param name="turns">Begin and end of each turn, seconds of the run.</param>
    /// <param name="client">What it took of this process.</param>
    /// <param name="slo">Null without objectives.</param>
    /// <param name="seed">Of the run.</param>
    internal static LoadSection Of(LoadSpec spec, string route, IReadOnlyList<RequestRecord> records, IReadOnlyList<(double From, double To)> turns, ClientLoadSection client, SloSection? slo, ulong seed)
    {
        RequestRecord[] ok = [.. records.Where(r => r.Outcome == Outcomes.Ok)];
        double duration = turns.Sum(t => t.To - t.From);
        double? PerSecond(double? amount) => duration > 0 ? amount / duration : null;
        string place = $"{spec.Name}/{route}";
        return new LoadSection
        {
            Name = spec.Name,
            Kind = spec.Kind,
            Concurrency = spec.Concurrency,
            RatePerSecond = spec.RatePerSecond,
            TraceSpeed = spec.TraceSpeed,
            Route = route,
            StartedAt = turns.Count > 0 ? turns[0].From : 0,
            EndedAt = turns.Count > 0 ? turns[^1].To : 0,
            DurationSeconds = duration,
            Ok = ok.Length,
            Failed = records.Count(r => r.Outcome == Outcomes.Error),
            Cancelled = records.Count(r => r.Outcome == Outcomes.Cancelled),
            Throughput = new ThroughputSection
            {
                RequestsPerSecond = PerSecond(ok.Length),
                OutputTokensPerSecond = PerSecond(Sum(ok, r => r.CompletionTokens)),
                TotalTokensPerSecond = PerSecond(Sum(ok, r => r.TotalTokens)),
                PeakConcurrency = Peak(records),
                MeanConcurrency = PerSecond(records.Sum(r => r.SentAt is { } sent ? r.EndedAt - sent : 0)),
            },
            Goodput = slo is null ? null : Goodput(slo, records, PerSecond),
            Client = client,
            Errors = ErrorGrouping.Of(records.Where(r => r.Outcome == Outcomes.Error).Select(r => r.Error).OfType<RequestError>()),
            AttemptErrors = ErrorGrouping.Of(records.SelectMany(r => r.Attempts).Select(a => a.Error).OfType<RequestError>().Where(e => e.Label != "cancelled")),
            Retries = records.Sum(r => Math.Max(0, r.Attempts.Count - 1)),
            Stages = [Stage(AllTypes, records, seed, place), .. records.Select(r => r.PromptType).Distinct().OrderBy(EvaluationPrompts.Rank).Select(type => Stage(type, [.. records.Where(r => r.PromptType == type)], seed, place))],
        };
    }

    private static StageSection Stage(string name, IReadOnlyList<RequestRecord> records, ulong seed, string place)
    {
        RequestRecord[] ok = [.. records.Where(r => r.Outcome == Outcomes.Ok)];
        return new StageSection
        {
            Name = name,
            Ok = ok.Length,
            Failed = records.Count(r => r.Outcome == Outcomes.Error),
            Cancelled = records.Count(r => r.Outcome == Outcomes.Cancelled),
            DistinctTexts = ok.Select(r => (r.PromptSha256, r.TextSha256)).Distinct().Count(),
            Metrics = RequestMetrics.Statistics(ok, seed, $"{place}/{name}"),
        };
    }

    private static GoodputSection Goodput(SloSection slo, IReadOnlyList<RequestRecord> records, Func<double?, double?> perSecond)
    {
        RequestRecord[] judged = [.. records.Where(r => r.Outcome != Outcomes.Cancelled)], within = [.. judged.Where(r => slo.Objectives.All(o => Objectives.IsMet(o, r)))];
        double? share = judged.Length > 0 ? within.Length / (double)judged.Length : null;
        return new GoodputSection
        {
            RequestsPerSecond = perSecond(within.Length),
            OutputTokensPerSecond = perSecond(Sum(within, r => r.CompletionTokens)),
            Share = share,
            Met = slo.WantedShare is { } wanted ? share >= wanted : null,
            ObjectiveShares = judged.Length == 0 ? new Dictionary<string, double>() : slo.Objectives.ToDictionary(o => o.Name, o => judged.Count(r => Objectives.IsMet(o, r)) / (double)judged.Length),
        };
    }

    // Unknown as soon as one is: a sum over the others would be a smaller number that looks whole.
    private static double? Sum(IReadOnlyList<RequestRecord> records, Func<RequestRecord, long?> of)
    {
        double sum = 0;
        foreach (RequestRecord record in records)
        {
            if (of(record) is not { } value) return null;
            sum += value;
        }

        return sum;
    }

    private static int Peak(IReadOnlyList<RequestRecord> records)
    {
        int now = 0, peak = 0;
        // Of an end and a beginning at the same time the end is first.
        foreach ((double _, int change) in records.Where(r => r.SentAt is not null).SelectMany(r => new[] { (r.SentAt!.Value, 1), (r.EndedAt, -1) }).OrderBy(e => e.Item1).ThenBy(e => e.Item2))
        {
            now += change;
            peak = Math.Max(peak, now);
        }

        return peak;
    }
}
