using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>Every request of a load over time, and how many ran at once.</summary>
internal static class TimelineFigures
{
    private const int MostRows = 240;
    private const double MostHeight = 620, MostRowHeight = 11;

    private static readonly LegendEntry[] Kinds = [new("waiting: late, or between attempts", 5, Hatch.Dotted), new("failed attempt", 1, Hatch.Rising), new("until the first token", 0), new("from the first to the last token", 2, Hatch.Level)];

    internal static ReportFigure Of(EvaluationSamples s, int index)
    {
        string stem = $"timeline_{index}", title = $"Timeline: {s.Title}";
        RequestRecord[] requests = [.. s.Measured.Where(r => double.IsFinite(r.ScheduledAt) && double.IsFinite(r.EndedAt)).OrderBy(r => r.ScheduledAt)];
        if (requests.Length == 0) return ReportFigure.Without(stem, title, "No measured request.") with { IsWhole = true };
        RequestRecord[] shown = requests.Length <= MostRows ? requests : [.. Enumerable.Range(0, MostRows).Select(i => requests[(int)((long)i * requests.Length / MostRows)])];
        double begin = requests[0].ScheduledAt, end = Math.Max(begin + 1e-6, requests.Max(r => r.EndedAt));
        GanttRow[] rows = [.. shown.Select(r => new GanttRow("", [.. Parts(r, begin)], $"{EvaluationSamples.Spoken(r.PromptType)}, {r.Id}, {ChartNumber.Seconds(r.EndedAt - r.ScheduledAt)}, {r.Outcome}", r.Outcome == "error"))];
        var scale = new AxisScale(0, end - begin);
        double height = Math.Min(MostRowHeight, MostHeight / rows.Length);
        LinePoint[] concurrency = [.. Concurrency(requests, begin)];
        string note = $"{(shown.Length < requests.Length ? $"{shown.Length} of {requests.Length} requests" : $"All {requests.Length} requests")}, one line each, in the order in which they were due. Diamonds: failed. Beneath: requests sent and not yet answered.";
        return new ReportFigure(stem, title, note, (id, size) => GanttChart.Draw(id, size, $"{title}: {requests.Length} requests over {ChartNumber.Seconds(end - begin)}, at most {concurrency.Max(p => p.Y):0} at once, {requests.Count(r => r.Outcome == "error")} failed", scale, v => ChartNumber.Short(v), Kinds, rows, height, "seconds from the first request", beneath: ("requests at once", concurrency))) { IsWhole = true };
    }

    private static IEnumerable<GanttPart> Parts(RequestRecord r, double begin)
    {
        double at = r.ScheduledAt - begin;
        for (int i = 0; i < r.Attempts.Count; i++)
        {
            AttemptRecord attempt = r.Attempts[i];
            double started = attempt.StartedAt - begin, ended = attempt.EndedAt - begin;
            if (started > at) yield return new GanttPart(at, started, 0);
            at = Math.Max(started, ended);
            if (attempt.Error is not null) yield return new GanttPart(started, ended, 1);
            else if (r.FirstContentAt is { } first)
            {
                yield return new GanttPart(started, first - begin, 2);
                yield return new GanttPart(first - begin, ended, 3);
            }
            else yield return new GanttPart(started, ended, 2);
        }

        if (r.Attempts.Count == 0) yield return new GanttPart(at, r.EndedAt - begin, 0);
    }

    // Steps of what was sent and had not ended.
    private static IEnumerable<LinePoint> Concurrency(IReadOnlyList<RequestRecord> requests, double begin)
    {
        IEnumerable<(double At, int Change)> changes = requests.SelectMany(r => r.Attempts.Count > 0 ? r.Attempts.SelectMany(a => new[] { (a.StartedAt, 1), (a.EndedAt, -1) }) : [(r.SentAt ?? r.ScheduledAt, 1), (r.EndedAt, -1)]);
        int running = 0;
        yield return new LinePoint(0, 0);
        foreach (IGrouping<double, (double At, int Change)> at in changes.Where(c => double.IsFinite(c.At)).GroupBy(c => c.At).OrderBy(g => g.Key))
        {
            running += at.Sum(c => c.Change);
            yield return new LinePoint(at.Key - begin, running);
        }
    }
}
