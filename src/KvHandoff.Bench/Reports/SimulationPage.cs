using System.Globalization;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Limits;

namespace KvHandoff.Bench.Reports;

/// <summary>The page of a simulation: where the time goes, and what saturates.</summary>
internal static class SimulationPage
{
    internal static string Render(SimulationSummary s, Saturation ceilings)
    {
        var page = new HtmlPage("KvHandoff: a cluster simulated", $"{s.Model} from {s.Prefill} to {s.Decode}, simulated", MachineDescription.Describe(), s.ElapsedSeconds);
        page.Add($"<p class=\"note\">{HtmlPage.Text(s.Workload)}. A discrete-event simulation of the cost model, not a measurement; what it leaves out stands in docs/cost-model.md.</p>\n");
        Facts(page, s);
        foreach (ReportTable table in SimulationTables.All(s))
        {
            page.Add(table);
            if (table.Id == "times") page.Add(Parts([s.Run]) + Utilisation([s.Run]));
            if (table.Id == "nodes") page.Add(Saturating(s, ceilings) + Utilisation(s.Nodes));
            if (table.Id == "links") page.Add(Parts(s.Links));
            if (table.Id == "codecs") page.Add(Parts(s.Codecs));
        }

        return page.Close();
    }

    private static void Facts(HtmlPage page, SimulationSummary s)
    {
        var facts = new List<(string Figure, string Meaning)>
        {
            (PlanQuantity.Number(s.Run.CompletedPerSecond), $"requests per second completed, {PlanQuantity.Number(s.Run.OfferedPerSecond)} offered"),
            (PlanQuantity.Seconds(s.Run.FirstToken.P50), $"to the first token at the median, {PlanQuantity.Seconds(s.Run.FirstToken.P99)} at the 99th percentile"),
            (PlanQuantity.Seconds(s.Run.PerToken.Mean), "per output token"),
            (PlanQuantity.Seconds(s.Run.ExposedSeconds), "of the handoff exposed, mean"),
            (s.Run.Limit, "is used most"),
        };
        if (s.GoodputRequestsPerSecond is { } goodput) facts.Add((PlanQuantity.Number(goodput), "requests per second within the objectives"));
        page.Facts(facts);
    }

    private static string Parts(IReadOnlyList<SimulationRow> rows) => PlanBars.Render("Mean time of a request in its parts", [("waits for prefill", 0), ("prefill", 4), ("exposed handoff", 6), ("decode", 5)],
        [.. rows.Select(r => new ChartBar(r.Name, [r.PrefillWaitSeconds, r.PrefillSeconds, r.ExposedSeconds, r.DecodeSeconds], $"{PlanQuantity.Seconds(r.PrefillWaitSeconds + r.PrefillSeconds + r.ExposedSeconds + r.DecodeSeconds)} in all"))]);

    // Of one run a bar per resource; of several a line per resource.
    private static string Utilisation(IReadOnlyList<SimulationRow> rows)
    {
        if (rows.Count == 1)
        {
            SimulationRow r = rows[0];
            (string Name, double Share)[] shares = [("prefill nodes", r.PrefillUtilisation), ("links", r.LinkUtilisation), ("decode memory", r.MemoryUtilisation), ("decode", r.DecodeUtilisation), .. r.CodecUtilisation > 0 ? [("codec cores", r.CodecUtilisation)] : ((string, double)[])[], .. r.FabricUtilisation > 0 ? [("fabric", r.FabricUtilisation)] : ((string, double)[])[]];
            return PlanBars.Render("Share of each resource that was used", [("used", 4), ("free", 0)], [.. shares.Select(s => new ChartBar(s.Name, [Math.Min(1, s.Share), Math.Max(0, 1 - s.Share)], PlanQuantity.Share(s.Share) + " used"))]);
        }

        double most = rows.Max(r => r.PrefillNodes);
        ChartLine Line(string name, int colour, Func<SimulationRow, double> of) => new(name, PlanChart.Colours[colour], [.. rows.OrderBy(r => r.PrefillNodes).Select(r => ((double)r.PrefillNodes, of(r)))]);
        return PlanChart.Render("Share of each resource that was used over the number of prefill nodes", new ChartAxis("prefill nodes", 0, most, false, v => F(v, "0.##")), new ChartAxis("used", 0, 1.05, false, v => F(v * 100, "0") + " %"),
            [Line("prefill nodes", 0, r => r.PrefillUtilisation), Line("links", 1, r => r.LinkUtilisation), Line("decode memory", 2, r => r.MemoryUtilisation), Line("decode", 3, r => r.DecodeUtilisation)]);
    }

    // Throughput as simulated below the ceilings of the formulas.
    private static string Saturating(SimulationSummary s, Saturation ceilings)
    {
        double nodes = s.Nodes.Max(r => r.PrefillNodes) * 1.05, top = Math.Max(s.Nodes.Max(r => r.CompletedPerSecond), Math.Min(ceilings.Ceiling, nodes * ceilings.PrefillNode)) * 1.3;
        const int Steps = 120;
        var lines = new List<ChartLine>
        {
            new("simulated", PlanChart.Colours[0], [.. s.Nodes.OrderBy(r => r.PrefillNodes).Select(r => ((double)r.PrefillNodes, r.CompletedPerSecond))]),
            new("formulas, mean sizes", PlanChart.Colours[4], [.. Enumerable.Range(0, Steps + 1).Select(i => (nodes * i / Steps, ceilings.Throughput(nodes * i / Steps)))], true),
        };
        foreach ((string name, double rate, int colour) in new[] { ("link", ceilings.Link, 1), ("memory", ceilings.Memory, 2), ("decode", ceilings.Decode, 3) })
            lines.Add(new ChartLine($"{name}: {PlanQuantity.Number(rate)} /s", PlanChart.Colours[colour], [(0, rate), (nodes, rate)], true));
        ChartMark[] marks = [.. s.Nodes.Select(r => new ChartMark(r.PrefillNodes, r.CompletedPerSecond, $"{r.Limit}", PlanChart.Colours[0]))];
        return PlanChart.Render("Requests per second over the number of prefill nodes; each point with the resource that limits it", new ChartAxis("prefill nodes", 0, nodes, false, v => F(v, "0.##")), new ChartAxis("requests per second", 0, top, false, v => F(v, "0.###")), lines, marks,
            ceilings.PrefillNodes < nodes ? [(ceilings.PrefillNodes, $"P_sat {PlanQuantity.Number(ceilings.PrefillNodes)}: the {PlanRun.Named(ceilings.CeilingResource)} limits")] : null);
    }

    private static string F(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
