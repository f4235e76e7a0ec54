using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>
/// What happens before and in a handoff, in order: queue, prefill, the phases of the handoff, the first decode step. The server gives the lengths; a phase of
/// the handoff is drawn so that it ends with the verdict, the latest that it can have ended, and what lies after prefill is exposed.
/// </summary>
internal static class WaterfallFigures
{
    private const int MostRequests = 80;
    private const double RowHeight = 22, RequestHeight = 13, DenseHeight = 7;

    private const int Queue = 0, Prefill = 1, Hidden = 2, ExposedKind = 3, FirstStep = 4;

    private static readonly LegendEntry[] Kinds = [new("queue", 5, Hatch.Dotted), new("prefill", 0), new("handoff, hidden behind prefill", 2), new("handoff, exposed", 1, Hatch.Rising), new("first decode step", 3, Hatch.Level)];

    // Not steps of the handoff: the wait before it, and the step after it.
    private static readonly string[] NoSteps = ["queue", "first_attend", "first_step"];

    internal static IEnumerable<ReportFigure> All(EvaluationSamples s)
    {
        if (s.Ok.Count == 0) return [ReportFigure.Without("handoff_waterfall", "Handoff waterfall", "No request succeeded, so that there is no handoff to show.") with { IsWhole = true }];
        if (!s.Ok.Any(r => EvaluationSamples.Exposed(r) is not null)) return [ReportFigure.Without("handoff_waterfall", "Handoff waterfall", "The endpoint tells nothing of a handoff (no handoff_time in time_info): it may be a single process, or another server.") with { IsWhole = true }];
        return [.. s.Types.Where(t => s.Values(t, EvaluationSamples.Exposed).Length > 0).Select(t => Median(s, t)), Requests(s)];
    }

    /// <summary>Part of the handoff's work that prefill hid, 0 to 1; null where the phases are not told.</summary>
    internal static double? HiddenShare(RequestRecord request)
    {
        double work = Steps(request).Sum(p => p.Value);
        return EvaluationSamples.Exposed(request) is { } exposed && work > 0 ? Math.Clamp(1 - exposed / work, 0, 1) : null;
    }

    private static IEnumerable<KeyValuePair<string, double>> Steps(RequestRecord request) => (request.Server?.Handoff?.Phases ?? new Dictionary<string, double>()).Where(p => !NoSteps.Contains(p.Key) && double.IsFinite(p.Value) && p.Value >= 0);

    private static ReportFigure Median(EvaluationSamples s, string type)
    {
        double Of(Func<RequestRecord, double?> of) => Math.Max(0, EvaluationSamples.Median(s.Values(type, of)) ?? 0);
        double queue = Of(r => r.Server?.QueueSeconds), prefill = Of(r => r.Server?.PromptSeconds), exposed = Of(EvaluationSamples.Exposed), first = Of(r => r.Server?.Handoff?.FirstStepSeconds);
        double ready = queue + prefill, verdict = ready + exposed, end = verdict + first;
        var rows = new List<GanttRow> { Row("queue", 0, queue, Queue), Row("prefill", queue, ready, Prefill), Row("exposed", ready, verdict, ExposedKind) };
        string[] phases = [.. s.Ok.Where(r => r.PromptType == type).SelectMany(r => Steps(r).Select(p => p.Key)).Distinct()];
        foreach (string phase in phases)
        {
            double length = Of(r => Steps(r).Where(p => p.Key == phase).Select(p => (double?)p.Value).FirstOrDefault());
            double from = Math.Max(0, verdict - length);
            if (length <= 0) continue;
            rows.Add(new GanttRow(phase.Replace('_', ' '), [.. from < ready ? [new GanttPart(from, Math.Min(ready, verdict), Hidden)] : Array.Empty<GanttPart>(), .. exposed > 0 ? [new GanttPart(Math.Max(from, ready), verdict, ExposedKind)] : Array.Empty<GanttPart>()], $"{phase}, {ChartNumber.Seconds(length)}", EndText: ChartNumber.Seconds(length)));
        }

        if (first > 0) rows.Add(Row("first step", verdict, end, FirstStep));
        double? token = EvaluationSamples.Median(s.Values(type, MetricNames.FirstToken)), second = EvaluationSamples.Median(s.Values(type, MetricNames.SecondToken));
        var marks = new List<(double, string)>();
        if (token is { } t1) marks.Add((t1, $"first token {ChartNumber.Seconds(t1)}"));
        if (second is { } t2) marks.Add((t2, $"second token {ChartNumber.Seconds(t2)}"));
        var scale = AxisScale.FromZero([end, token ?? 0, second ?? 0], 8);
        double? hidden = EvaluationSamples.Median(s.Values(type, HiddenShare));
        string name = EvaluationSamples.Spoken(type);
        string note = $"Medians of {s.Values(type, EvaluationSamples.Exposed).Length} requests, from the start of the request. {ChartNumber.Seconds(exposed)} exposed{(hidden is { } h ? $", {ChartNumber.Share(h)} of the handoff's work hidden behind prefill" : "")}.";
        return new ReportFigure($"handoff_waterfall_{Slug(type)}", $"Handoff waterfall: {name}", note,
            (id, size) => GanttChart.Draw(id, size, $"Handoff waterfall of {name}. {string.Join(", ", rows.Select(r => $"{r.Name} {r.EndText}"))}. {note}", scale, v => ChartNumber.Seconds(v), Kinds, rows, RowHeight, marks: marks),
            new ReportTable($"waterfall-{Slug(type)}", $"Medians of {name}", "", [new("step", false), new("from"), new("to"), new("length")], [.. rows.Select(r => (string[])[r.Name, ChartNumber.Seconds(r.Parts.Select(p => p.From).DefaultIfEmpty(0).Min()), ChartNumber.Seconds(r.Parts.Select(p => p.To).DefaultIfEmpty(0).Max()), r.EndText])]));
    }

    private static ReportFigure Requests(EvaluationSamples s)
    {
        RequestRecord[] told = [.. s.Ok.Where(r => EvaluationSamples.Exposed(r) is not null)];
        // Every so many-th where there are more than a picture holds, the slowest always among them.
        RequestRecord[] shown = [.. told.OrderByDescending(r => EvaluationSamples.Exposed(r))];
        if (shown.Length > MostRequests) shown = [.. Enumerable.Range(0, MostRequests).Select(i => shown[(int)((long)i * shown.Length / MostRequests)])];
        GanttRow[] rows = [.. shown.OrderBy(r => r.SentAt).Select(r =>
        {
            double queue = Length(r.Server!.QueueSeconds), ready = queue + Length(r.Server.PromptSeconds), verdict = ready + Length(EvaluationSamples.Exposed(r)), end = verdict + Length(r.Server.Handoff?.FirstStepSeconds);
            return new GanttRow($"{EvaluationSamples.Spoken(r.PromptType)} {r.Iteration + 1}", [new(0, queue, Queue), new(queue, ready, Prefill), new(ready, verdict, ExposedKind), .. end > verdict ? [new GanttPart(verdict, end, FirstStep)] : Array.Empty<GanttPart>()], $"{EvaluationSamples.Spoken(r.PromptType)}, {r.Id}: {ChartNumber.Seconds(Length(EvaluationSamples.Exposed(r)))} exposed");
        })];
        var scale = AxisScale.FromZero(rows.Select(r => r.Parts.Max(p => p.To)), 8);
        LegendEntry[] kinds = [.. Kinds];
        return new ReportFigure("handoff_waterfall_requests", "Handoff of each request", $"{(shown.Length < told.Length ? $"{shown.Length} of {told.Length} requests, the longest and evenly through the rest" : $"All {told.Length} requests")}, in the order in which they were sent.",
            (id, size) => GanttChart.Draw(id, size, $"Queue, prefill, exposed handoff and first decode step of {shown.Length} requests; the longest exposed part is {ChartNumber.Seconds(told.Max(r => EvaluationSamples.Exposed(r)))}", scale, v => ChartNumber.Seconds(v), kinds, rows, rows.Length <= 40 ? RequestHeight : DenseHeight),
            new ReportTable("waterfall-requests", "Handoff of each request", "", [new("request", false), new("prompt", false), new("queue"), new("prefill"), new("exposed"), new("first step"), new("K and V"), new("on the wire")],
                [.. shown.OrderBy(r => r.SentAt).Select(r => (string[])[r.Id, EvaluationSamples.Spoken(r.PromptType), ChartNumber.Seconds(r.Server!.QueueSeconds), ChartNumber.Seconds(r.Server.PromptSeconds), ChartNumber.Seconds(EvaluationSamples.Exposed(r)), ChartNumber.Seconds(r.Server.Handoff?.FirstStepSeconds), ChartNumber.Bytes(r.Server.Handoff?.KvBytes), ChartNumber.Bytes(r.Server.Handoff?.WireBytes)])]))
        { IsWhole = true };
    }

    private static GanttRow Row(string name, double from, double to, int kind) => new(name, [new GanttPart(from, to, kind)], $"{name}, {ChartNumber.Seconds(to - from)}", EndText: ChartNumber.Seconds(to - from));

    private static double Length(double? seconds) => seconds is { } s && double.IsFinite(s) ? Math.Max(0, s) : 0;

    // For ids and file names.
    internal static string Slug(string text) => string.Concat(text.Take(60).Select(c => char.IsAsciiLetterOrDigit(c) || c == '_' ? c : '-'));
}
