using System.Globalization;

namespace KvHandoff.Bench.Reports;

/// <summary>The pages: of the main job, with the kernels' results where there are any, and of the kernels alone.</summary>
internal static class HtmlReport
{
    /// <summary>The kernels' results, looked for beside the main job's.</summary>
    internal const string KernelsFile = "kernels.json";

    internal static string Render(Summary summary, KernelSummary? kernels = null)
    {
        var page = new HtmlPage("KvHandoff: what a handoff costs on this machine", "What a KV-cache handoff costs on this machine", summary.Environment, summary.ElapsedSeconds);
        page.Verdict([.. summary.Failures, .. kernels?.Failures ?? []]);
        Facts(page, summary);
        foreach (ReportTable table in ReportTables.All(summary))
        {
            page.Add(table);
            if (table.Id == "phases") Chart(page, summary);
            if (table.Id == "fits") Sweep(page, summary);
        }

        if (kernels is not null) Kernels(page, kernels);
        return page.Close();
    }

    internal static string Render(KernelSummary kernels)
    {
        var page = new HtmlPage("KvHandoff: kernels on this machine", "Kernels and attention on this machine", kernels.Environment, kernels.ElapsedSeconds);
        page.Verdict(kernels.Failures);
        Kernels(page, kernels);
        return page.Close();
    }

    /// <summary>The kernels' results of a directory; null where there are none.</summary>
    /// <exception cref="InvalidDataException">They cannot be read.</exception>
    internal static async Task<KernelSummary?> KernelsInAsync(string directory)
    {
        string path = Path.Combine(directory, KernelsFile);
        return File.Exists(path) ? KernelSummary.FromJson(await File.ReadAllTextAsync(path)) : null;
    }

    private static void Kernels(HtmlPage page, KernelSummary kernels)
    {
        foreach (ReportTable table in kernels.Tables()) page.Add(table);
        RooflineOf(page, kernels, 2);
    }

    /// <summary>The roofline under a heading of that level, where attention was measured.</summary>
    internal static void RooflineOf(HtmlPage page, KernelSummary kernels, int level)
    {
        if (Roofline.Of(kernels) is not { } roofline) return;
        page.Add($"<h{level} id=\"roofline\">Decode attention below its roofs</h{level}>\n<p class=\"note\">The longest steps of the table. Memory roof: reading the same bytes. Compute roof: nothing but fp32 multiply-adds. "
            + "Both measured in turns with the steps, medians; kernels that multiply BF16 directly may pass the compute roof.</p>\n");
        page.Add(HtmlPage.Scrolling(RooflineSvg.Render(roofline), "Decode attention below its roofs, picture"));
        page.Add(RooflineSvg.Legend(roofline));
    }

    private static void Sweep(HtmlPage page, Summary summary)
    {
        page.Add(HtmlPage.Scrolling(SweepSvg.Render(summary.Sweep, summary.Fits), "Time over size, picture") + SweepSvg.Legend(summary.Fits));
        page.Figures(TransferFigures.All(summary.Sweep, summary.Fits));
    }

    private static void Facts(HtmlPage page, Summary summary)
    {
        var facts = new List<(string Figure, string Meaning)>();
        if (summary.Reference is { } reference)
        {
            if (reference.TokensEqual is { } equal) facts.Add((equal ? "equal" : "DIFFER", $"tokens of {reference.Prompts.Count} prompts against the single-process run"));
            facts.Add((Number(reference.DecodePrefilledTokens), "prompt tokens computed by the decode process"));
        }

        foreach (TransferRow t in summary.Transfers)
            facts.Add((string.Create(CultureInfo.InvariantCulture, $"{t.OfBare ?? t.OfTcpLoopback:0.00}x"), string.Create(CultureInfo.InvariantCulture, $"{t.Bare ?? "bare TCP loopback"}: {t.KvBytes / 1e6:0} MB of {t.Model} over {t.Transport}, {t.Codec}, in {t.Seconds * 1e3:0} ms, {(t.Verified ? "every byte compared" : "BYTES DIFFER")}")));
        if (summary.Figures.Count > 0) facts.Add(($"{summary.Figures.Count(f => f.Reached)} of {summary.Figures.Count}", "figures to reach were reached"));
        page.Facts(facts);
    }

    private static void Chart(HtmlPage page, Summary summary)
    {
        (string Name, double Seconds, IReadOnlyDictionary<string, double> Phases)[] rows = [.. ReportTables.PhaseSources(summary)];
        page.Add($"<div class=\"chart\">\n{PhaseBarSvg.Render(rows[..summary.Transfers.Count])}</div>\n{PhaseBarSvg.Legend(rows[0].Phases.Keys)}");
        if (summary.Reference is { Prompts.Count: > 0 } reference) page.Add($"<h3 id=\"waterfall\">Handoff of each prompt, from the request to the first step on the landed cache</h3>\n<div class=\"chart\">\n{PromptWaterfall.Render(reference.Prompts)}</div>\n{PromptWaterfall.Legend}");
    }

    private static string Number(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);
}
