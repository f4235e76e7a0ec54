using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>What the disaggregated route gained or cost against the monolithic one, and whether both wrote the same.</summary>
internal static class RouteComparison
{
    // Of the first group less is better, of the second more.
    private static readonly string[] LessIsBetter = [MetricNames.FirstToken, MetricNames.SecondToken, MetricNames.InterToken, MetricNames.LongestGap, MetricNames.Latency], MoreIsBetter = [MetricNames.OutputSpeed];

    /// <param name="loads">Names of the loads, by the index of their sections on each route.</param>
    /// <param name="records">Of the whole run.</param>
    /// <param name="turns">Of each route.</param>
    /// <param name="areTextsComparable">Temperature 0.</param>
    /// <param name="seed">Of the run.</param>
    internal static BaselineSection Of(IReadOnlyList<(string Name, int Disaggregated, int Monolithic)> loads, IReadOnlyList<RequestRecord> records, int turns, bool areTextsComparable, ulong seed)
    {
        RequestRecord[] ok = [.. records.Where(r => r is { Phase: Outcomes.Measured, Outcome: Outcomes.Ok })];
        var rows = new List<BaselineRow>();
        foreach ((string name, int disaggregated, int monolithic) in loads)
        {
            RequestRecord[] first = [.. ok.Where(r => r.Load == disaggregated)], second = [.. ok.Where(r => r.Load == monolithic)];
            foreach (string stage in first.Select(r => r.PromptType).Distinct().OrderBy(EvaluationPrompts.Rank).Prepend(LoadStatistics.AllTypes))
            {
                RequestRecord[] Of(RequestRecord[] all) => stage == LoadStatistics.AllTypes ? all : [.. all.Where(r => r.PromptType == stage)];
                foreach (string metric in (IEnumerable<string>)[.. LessIsBetter, .. MoreIsBetter]) rows.AddRange(Rows(name, stage, metric, Of(first), Of(second), seed));
            }
        }

        return new BaselineSection { Turns = turns, Rows = rows, Texts = areTextsComparable ? Texts(ok) : new TextEqualitySection() };
    }

    private static IEnumerable<BaselineRow> Rows(string load, string stage, string metric, RequestRecord[] disaggregated, RequestRecord[] monolithic, ulong seed)
    {
        double[] first = [.. disaggregated.Select(r => RequestMetrics.Of(r, metric)).OfType<double>().Order()], second = [.. monolithic.Select(r => RequestMetrics.Of(r, metric)).OfType<double>().Order()];
        if (first.Length == 0 || second.Length == 0) yield break;
        foreach ((string name, Func<double[], double> of) in new (string, Func<double[], double>)[] { ("mean", Bootstrap.Mean), ("p50", sorted => Percentile.OfSorted(sorted, 0.5)) })
        {
            double a = of(first), b = of(second);
            Interval? interval = Bootstrap.Difference(first, second, of, SampleStatistics.SeedOf(seed, load, stage, metric, name));
            yield return new BaselineRow
            {
                Load = load,
                Stage = stage,
                Metric = metric,
                Unit = RequestMetrics.UnitOf(metric),
                Statistic = name,
                Disaggregated = a,
                Monolithic = b,
                Difference = a - b,
                DifferencePercent = b != 0 ? (a - b) / b * 100 : null,
                DifferenceCi95 = interval,
                Verdict = Verdict(interval, MoreIsBetter.Contains(metric)),
            };
        }
    }

    private static string Verdict(Interval? interval, bool isMoreBetter)
    {
        if (interval is null || interval.Low <= 0 && interval.High >= 0) return "none";
        return interval.Low > 0 == isMoreBetter ? "gain" : "loss";
    }

    // By prompt and limit, not by type: a trace has as many texts as requests.
    private static TextEqualitySection Texts(RequestRecord[] ok)
    {
        int prompts = 0, equal = 0;
        var differences = new List<TextDifference>();
        foreach (IGrouping<(string, int?), RequestRecord> group in ok.GroupBy(r => (r.PromptSha256, r.MaxCompletionTokens)))
        {
            Dictionary<string, int> Hashes(string route) => group.Where(r => r.Route == route).GroupBy(r => r.TextSha256 ?? "none").ToDictionary(g => g.Key, g => g.Count());
            Dictionary<string, int> disaggregated = Hashes(BaselineSection.Disaggregated), monolithic = Hashes(BaselineSection.Monolithic);
            if (disaggregated.Count == 0 || monolithic.Count == 0) continue;
            prompts++;
            if (disaggregated.Keys.Union(monolithic.Keys).Count() == 1) equal++;
            else differences.Add(new TextDifference { PromptType = group.First().PromptType, PromptSha256 = group.Key.Item1, Disaggregated = disaggregated, Monolithic = monolithic });
        }

        return new TextEqualitySection { Compared = true, Prompts = prompts, Equal = equal, Differences = differences };
    }
}
