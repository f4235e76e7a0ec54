using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>What failed, by label with samples of the messages; every attempt that was repeated, with its wait and why; the room left below rate limits.</summary>
internal static class ErrorSection
{
    private const int OpenAttempts = 12, MostAttempts = 200, MostTicks = 2000;

    internal static void Add(HtmlPage page, EvaluationSummary summary)
    {
        if (summary.Loads.Sum(l => l.Errors.Count + l.AttemptErrors.Count) == 0) page.Add("<p class=\"good\">No request and no attempt failed.</p>\n");
        else page.Rows(Groups(summary));

        (RequestRecord Request, int Index, AttemptRecord Attempt)[] failed = [.. summary.Requests.SelectMany(r => r.Attempts.Select((a, i) => (r, i, a))).Where(a => a.a.Error is not null).OrderBy(a => a.a.StartedAt)];
        bool isLong = failed.Length > OpenAttempts;
        if (isLong) page.Add($"<details><summary>{failed.Length} attempts that failed</summary>\n");
        if (failed.Length > 0) page.Rows(Attempts(failed));
        if (isLong) page.Add("</details>\n");
        ReportFigure[] headroom = [.. Headroom(summary)];
        if (headroom.Length > 0) page.Figures(headroom);
    }

    private static ReportTable Groups(EvaluationSummary summary) => new("error-groups", "Failures by label", "A request may fail in several attempts before it succeeds.",
        [new("load", false), new("route", false), new("what", false), new("label", false), new("count"), new("messages", false)],
        [.. summary.Loads.SelectMany(l => l.Errors.Select(e => (string[])[l.Name, l.Route, "request", e.Label, ChartNumber.Short(e.Count), string.Join(" · ", e.Messages)]).Concat(l.AttemptErrors.Select(e => (string[])[l.Name, l.Route, "attempt", e.Label, ChartNumber.Short(e.Count), string.Join(" · ", e.Messages)])))]);

    private static ReportTable Attempts((RequestRecord Request, int Index, AttemptRecord Attempt)[] failed) => new("attempts", "Attempts that failed", failed.Length > MostAttempts ? $"The first {MostAttempts} of {failed.Length}." : "Times from the beginning of the run.",
        [new("request", false), new("prompt", false), new("attempt"), new("at"), new("took"), new("status"), new("error", false), new("then waited"), new("because of", false), new("limits in the reply", false), new("in the end", false)],
        [.. failed.Take(MostAttempts).Select(f => (string[])
        [
            f.Request.Id, EvaluationSamples.Spoken(f.Request.PromptType), $"{f.Index + 1} of {f.Request.Attempts.Count}", ChartNumber.Seconds(f.Attempt.StartedAt), ChartNumber.Seconds(f.Attempt.EndedAt - f.Attempt.StartedAt), f.Attempt.Status?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? ChartNumber.Unknown, f.Attempt.Error!.Label,
            ChartNumber.Seconds(f.Attempt.WaitSeconds), f.Attempt.WaitReason ?? "", string.Join(", ", f.Attempt.RateLimits.Select(h => $"{h.Key} {ChartNumber.Short(h.Value)}")), f.Request.Outcome,
        ])]);

    // One line per header "remaining-…", in percent of "limit-…" where that is told.
    private static IEnumerable<ReportFigure> Headroom(EvaluationSummary summary)
    {
        (double At, IReadOnlyDictionary<string, double> Limits)[] replies = [.. summary.Requests.SelectMany(r => r.Attempts).Where(a => a.RateLimits.Count > 0).OrderBy(a => a.EndedAt).Take(MostTicks).Select(a => (a.HeadersAt ?? a.EndedAt, a.RateLimits))];
        string[] names = [.. replies.SelectMany(r => r.Limits.Keys).Where(k => k.StartsWith("remaining-", StringComparison.Ordinal)).Distinct().Order(StringComparer.Ordinal).Take(6)];
        PlotLine[] lines = [.. names.Select((n, i) => new PlotLine(n["remaining-".Length..].Replace('-', ' '), LoadFigures.Colours[i % LoadFigures.Colours.Length], [.. Line(replies, n)], LoadFigures.Strokes[i % LoadFigures.Strokes.Length], IsStepped: true)).Where(l => l.Points.Count > 1)];
        if (lines.Length == 0) return [];
        double end = lines.Max(l => l.Points.Max(p => p.X));
        return [new ReportFigure("rate_limit_headroom", "Room below the rate limits", "What the replies' headers said was left, in percent of the limit.", (id, size) => LineChart.Draw(id, size, $"Room below rate limits: {string.Join("; ", lines.Select(l => $"{l.Name} at least {ChartNumber.Percent(l.Points.Min(p => p.Y))}"))}", new PlotAxis("seconds", new AxisScale(0, Math.Max(end, 1e-3)), v => ChartNumber.Short(v)), new PlotAxis("left (%)", AxisScale.FromZero([100, .. lines.SelectMany(l => l.Points.Select(p => p.Y))]), v => ChartNumber.Short(v)), lines, plotHeight: 180)) { IsWhole = true }];
    }

    private static IEnumerable<LinePoint> Line((double At, IReadOnlyDictionary<string, double> Limits)[] replies, string name)
    {
        foreach ((double at, IReadOnlyDictionary<string, double> limits) in replies)
        {
            if (limits.TryGetValue(name, out double left) && limits.TryGetValue("limit-" + name["remaining-".Length..], out double limit) && limit > 0 && double.IsFinite(left)) yield return new LinePoint(at, left / limit * 100);
        }
    }
}
