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
            if (table.Id == "fits") page.Add(SweepSvg.Render(summary.Sweep, summary.Fits) + SweepSvg.Legend(summary.Fits));
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
        if (Roofline.Of(kernels) is not { } roofline) return;
        page.Add("<h2 id=\"roofline\">Decode attention below its roofs</h2>\n<p class=\"note\">The longest steps of the table. Memory roof: reading the same bytes. Compute roof: nothing but fp32 multiply-adds. "
            + "Both measured in turns with the steps, medians; kernels that multiply BF16 directly may pass the compute roof.</p>\n");
        page.Add(RooflineSvg.Render(roofline));
        page.Add(RooflineSvg.Legend(roofline));
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
        if (facts.Count == 0) return;
        page.Add("<ul class=\"facts\">\n");
        foreach ((string figure, string meaning) in facts) page.Add($"<li><b>{HtmlPage.Text(figure)}</b>{HtmlPage.Text(meaning)}</li>\n");
        page.Add("</ul>\n");
    }

    private static void Chart(HtmlPage page, Summary summary)
    {
        (string Name, double Seconds, IReadOnlyDictionary<string, double> Phases)[] rows = [.. ReportTables.PhaseSources(summary)];
        page.Add($"<div class=\"chart\">\n{PhaseBarSvg.Render(rows)}</div>\n{PhaseBarSvg.Legend(rows[0].Phases.Keys)}");
    }

    private static string Number(long value) => value.ToString("#,0", CultureInfo.InvariantCulture);
}
