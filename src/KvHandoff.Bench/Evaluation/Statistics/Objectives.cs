using System.Globalization;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>Service level objectives: limits that a request meets or misses.</summary>
internal static class Objectives
{
    private const double MostSeconds = 1e6;

    private static readonly (string Name, string Metric)[] Known =
    [
        ("ttfc", MetricNames.FirstChunk), ("ttft", MetricNames.FirstToken), ("ttst", MetricNames.SecondToken), ("itl", MetricNames.InterToken), ("gap", MetricNames.LongestGap), ("e2e", MetricNames.Latency), ("response", MetricNames.Response),
    ];

    /// <summary>Reads <c>ttft:200ms,itl:50ms,e2e:5s</c>.</summary>
    /// <exception cref="InvalidDataException">A part is wrong; the message names it and what is allowed.</exception>
    internal static IReadOnlyList<SloObjective> Parse(string text)
    {
        var objectives = new List<SloObjective>();
        foreach (string part in text.Split(','))
        {
            string[] halves = part.Split(':');
            (string Name, string Metric) known = Known.FirstOrDefault(k => k.Name == halves[0]);
            if (halves.Length != 2 || known.Name is null || objectives.Any(o => o.Name == known.Name) || Seconds(halves[1]) is not { } limit)
                throw new InvalidDataException($"--slo: '{part}' is not allowed; allowed: each once, {string.Join(", ", Known.Select(k => k.Name))}, with a colon and a time such as 200ms or 5s, separated by commas");
            objectives.Add(new SloObjective(known.Name, known.Metric, limit));
        }

        return objectives;
    }

    /// <summary>Whether a request met one objective. A failed one did not; nor did one whose figure is not known, unless it had no second token to be late with.</summary>
    internal static bool IsMet(SloObjective objective, RequestRecord request)
    {
        if (request.Outcome != Outcomes.Ok) return false;
        if (RequestMetrics.Of(request, objective.Metric) is { } value) return value <= objective.LimitSeconds;
        return objective.Metric is MetricNames.SecondToken or MetricNames.InterToken or MetricNames.LongestGap && request.ContentChunks == 1;
    }

    /// <summary>All of them; null without objectives or for a request that the run's end cut off.</summary>
    internal static bool? Judge(IReadOnlyList<SloObjective> objectives, RequestRecord request) =>
        objectives.Count == 0 || request.Outcome == Outcomes.Cancelled ? null : objectives.All(o => IsMet(o, request));

    private static double? Seconds(string text) =>
        RateLimitHeaders.ParseDuration(text) is { } seconds && !double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out _) && seconds is > 0 and <= MostSeconds ? seconds : null;
}
