using System.Globalization;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Limits;

namespace KvHandoff.Bench.Reports;

/// <summary>The page of a plan: each question's picture above its table.</summary>
internal static class PlanPage
{
    internal static string Render(PlanSummary summary, PlanRun run)
    {
        var page = new HtmlPage("KvHandoff: what the handoff costs", $"What the handoff of {summary.Inputs.Model} costs", MachineDescription.Describe(), summary.ElapsedSeconds);
        page.Add("<p class=\"note\">Computed from published figures, not measured on this machine; formulas in docs/cost-model.md, sources at the end of this page.</p>\n");
        Facts(page, summary);
        foreach (ReportTable table in PlanTables.All(summary))
        {
            page.Add(table);
            page.Add(Picture(table.Id, summary, run));
        }

        page.Add(PlanTables.Sources(summary));
        return page.Close();
    }

    private static string Picture(string table, PlanSummary summary, PlanRun run) => table switch
    {
        "sizes" => PlanPictures.Sizes(run),
        "links" => PlanPictures.Links(summary) + PlanPictures.Exposed(run),
        "units" => PlanPictures.Units(run),
        "codecs" => PlanPictures.Codecs(summary, run),
        "capacity" => PlanPictures.Capacity(summary),
        "saturation" => PlanPictures.Saturation(run),
        "comparison" => PlanPictures.Comparison(summary),
        "calibration" => PlanPictures.Calibration(summary.Calibration!),
        _ => "",
    };

    private static void Facts(HtmlPage page, PlanSummary s)
    {
        PlanSaturationRow asked = s.Saturation[0];
        PlanComparisonRow colocated = s.Comparison[1];
        (string Figure, string Meaning)[] facts =
        [
            (PlanQuantity.Bytes(s.Answer.KvBytes), string.Create(CultureInfo.InvariantCulture, $"K and V of {s.Inputs.Tokens:#,0} tokens in {s.Inputs.Element.ToUpperInvariant()}")),
            (PlanQuantity.Seconds(s.Answer.RawWireSeconds), $"at the line rate of {s.Answer.Link}"),
            (PlanQuantity.Seconds(s.Answer.ExposedSeconds), $"exposed: {PlanQuantity.Share(s.Answer.HiddenShare)} hides behind {PlanQuantity.Seconds(s.Answer.PrefillSeconds)} of prefill"),
            (PlanQuantity.BitRate(s.Answer.HidingBitsPerSecond / 8), "hides all but the last unit"),
            ($"{PlanQuantity.Number(asked.PrefillNodes)} : 1", $"prefill to decode nodes until the {asked.Limit} limits"),
            ($"{PlanQuantity.Number(colocated.OfDisaggregated)}x", $"the time of one request on {colocated.Deployment}"),
        ];
        page.Facts(facts);
    }
}
