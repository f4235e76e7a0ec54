namespace KvHandoff.Bench.Reports;

/// <summary>The tables of a simulation.</summary>
internal static class SimulationTables
{
    internal static IEnumerable<ReportTable> All(SimulationSummary s)
    {
        yield return Outcome(s);
        yield return Times("times", "What a request goes through, means", [s.Run]);
        if (s.Nodes.Count > 0) yield return Rows("nodes", "How many prefill nodes, until what saturates?", $"Each row is offered half as much again as the formulas say it bears. They name the {s.Ceilings.Limit} as the limit beyond {PlanQuantity.Number(s.Ceilings.PrefillNodes)} prefill nodes for requests of mean size; sizes that vary reach less.", s.Nodes);
        if (s.Links.Count > 0) yield return Rows("links", "Which link?", "The same requests over each.", s.Links);
        if (s.Codecs.Count > 0) yield return Rows("codecs", "Which codec?", "The same requests with each.", s.Codecs);
    }

    private static ReportTable Outcome(SimulationSummary s) => Rows("run", $"{s.Workload}: {s.Model} from {s.Run.PrefillNodes} {s.Prefill} to {s.Run.DecodeNodes} {s.Decode}",
        $"{PlanQuantity.Whole(s.Run.Completed)} of {PlanQuantity.Whole(s.Run.Requests)} completed, {s.Run.Rejected} larger than a decode node's memory, {s.Run.Failed} failed, {s.Run.InFlight} on their way; {PlanQuantity.Share(s.Run.CachedShare)} of prompt tokens were cached; {s.Run.NodeFailures} node failures, {s.Run.Restarts} restarts. "
        + $"{PlanQuantity.Seconds(s.Run.SimulatedSeconds)} simulated in {PlanQuantity.Seconds(s.Run.WallSeconds)}, {PlanQuantity.Whole(s.Run.Events)} events, seed {s.Seed}."
        + (s.GoodputRequestsPerSecond is { } goodput ? $" Goodput: {PlanQuantity.Number(goodput)} requests per second within the objectives." : ""), [s.Run]);

    // Objectives, codec and fabric only where there are any.
    private static ReportTable Rows(string id, string title, string note, IReadOnlyList<SimulationRow> rows)
    {
        bool hasObjectives = rows.Any(r => r.WithinObjectives < (double)r.Completed / r.Requests);
        bool hasCodec = rows.Any(r => r.CodecUtilisation > 0), hasFabric = rows.Any(r => r.FabricUtilisation > 0);
        ReportColumn[] objectives = hasObjectives ? [new("in objectives")] : [], codec = hasCodec ? [new("codec")] : [], fabric = hasFabric ? [new("fabric")] : [];
        return new ReportTable(id, title, note,
            [new("", false), new("offered /s"), new("done /s"), new("first token p50"), new("p90"), new("p99"), new("per token"), new("answer p50"), new("p99"), .. objectives, new("prefill"), new("link"), new("memory"), new("decode"), .. codec, .. fabric, new("most used", false)],
            [.. rows.Select(r => new List<string>(
            [
                r.Name, PlanQuantity.Number(r.OfferedPerSecond), PlanQuantity.Number(r.CompletedPerSecond), T(r.FirstToken.P50), T(r.FirstToken.P90), T(r.FirstToken.P99), T(r.PerToken.Mean), T(r.Answer.P50), T(r.Answer.P99),
                .. hasObjectives ? [PlanQuantity.Share(r.WithinObjectives)] : (string[])[],
                PlanQuantity.Share(r.PrefillUtilisation), PlanQuantity.Share(r.LinkUtilisation), PlanQuantity.Share(r.MemoryUtilisation), PlanQuantity.Share(r.DecodeUtilisation),
                .. hasCodec ? [PlanQuantity.Share(r.CodecUtilisation)] : (string[])[],
                .. hasFabric ? [PlanQuantity.Share(r.FabricUtilisation)] : (string[])[],
                r.Limit,
            ]))]);
    }

    private static ReportTable Times(string id, string title, IReadOnlyList<SimulationRow> rows) => new(id, title, "Waits for a grant and for the link lie within prefill where units are sent as they are ready, else after it.",
        [new("", false), new("waits for prefill"), new("prefill"), new("exposed"), new("decode"), new("waits for a grant"), new("waits for the link")],
        [.. rows.Select(r => new[] { r.Name, T(r.PrefillWaitSeconds), T(r.PrefillSeconds), T(r.ExposedSeconds), T(r.DecodeSeconds), T(r.GrantWaitSeconds), T(r.LinkWaitSeconds) })]);

    private static string T(double seconds) => PlanQuantity.Seconds(seconds);
}
