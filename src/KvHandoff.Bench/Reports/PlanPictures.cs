using System.Globalization;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Reports;

/// <summary>One picture per question of a plan.</summary>
internal static class PlanPictures
{
    private const int Steps = 160;
    private const double MostTokens = 2_097_152, LeastTokens = 32;

    private static readonly ChartAxis TokensAxis = new("prompt tokens", LeastTokens, MostTokens, true, v => v >= 1e6 ? F(v / 1e6, "0.#") + "M" : v >= 1e3 ? F(v / 1e3, "0.#") + "K" : F(v, "0"));

    /// <summary>Bytes over the prompt's length, of this model and of others.</summary>
    internal static string Sizes(PlanRun run)
    {
        ModelGeometry own = run.Deployment.Model;
        IEnumerable<ModelGeometry> others = new[] { "llama-3.3-70b", "llama-3.1-8b", "deepseek-v3", "gpt-oss-120b", "llama-3.1-405b" }.Select(n => run.Catalogue.Models[n]).Where(m => m.Name != own.Name).Take(4);
        ChartLine[] lines = [.. others.Prepend(own).Select((m, i) => new ChartLine(m.Title, PlanChart.Colours[i], [.. Along(LeastTokens, MostTokens).Select(t => (t, KvSize.Bytes(m, t, run.Deployment.ElementBytes)))], i > 0))];
        double most = KvSize.Bytes(own, MostTokens, run.Deployment.ElementBytes);
        var y = new ChartAxis("bytes of K and V", 1e6, Math.Max(1e12, most), true, PlanQuantity.Bytes);
        var asked = new ChartMark(run.Tokens, run.Deployment.KvBytes(run.Tokens), $"{PlanQuantity.Whole(run.Tokens)} tokens: {PlanQuantity.Bytes(run.Deployment.KvBytes(run.Tokens))}", PlanChart.Colours[0]);
        DecodeCapacity capacity = DecodeCapacity.Of(own, run.Deployment.Decode, run.Deployment.WeightPrecision);
        double fits = KvSize.TokensIn(own, capacity.FreeBytes, run.Deployment.ElementBytes);
        return PlanChart.Render("Bytes of K and V over the length of the prompt, per model", TokensAxis, y, lines, [asked], fits > LeastTokens ? [(fits, $"all that fits in {run.Deployment.Decode.Name}: {PlanQuantity.Whole(Math.Floor(fits))} tokens")] : null);
    }

    /// <summary>Hidden and exposed part of the wire time, per link.</summary>
    internal static string Links(PlanSummary s) => PlanBars.Render("Share of the wire time that prefill hides, per link", [("hidden behind prefill", 5), ("exposed", 6)],
        [.. s.Links.Select(r => new ChartBar(r.Link, [r.HiddenShare, 1 - r.HiddenShare], $"{PlanQuantity.Seconds(r.ExposedSeconds)} exposed"))]);

    /// <summary>Exposed time over the prompt's length, per link.</summary>
    internal static string Exposed(PlanRun run)
    {
        IEnumerable<Link> links = new[] { "10G", "100G", "400G", "1.2T", "3.2T" }.Select(n => run.Catalogue.Links[n]).Where(l => l.Name != run.Deployment.Link.Name).Append(run.Deployment.Link).OrderBy(l => l.BitsPerSecond.Value).TakeLast(6);
        ChartLine[] lines = [.. links.Select((l, i) => new ChartLine(l.Name, PlanChart.Colours[i], [.. Along(LeastTokens, MostTokens).Select(t => (t, run.Deployment.Transfer(t, l, run.Deployment.UnitCount).ExposedSeconds))], l.Name != run.Deployment.Link.Name))];
        double exposed = run.Deployment.Transfer(run.Tokens).ExposedSeconds;
        int own = Array.FindIndex(lines, l => !l.IsDashed);
        return PlanChart.Render("Exposed time over the length of the prompt, per link", TokensAxis, new ChartAxis("exposed after prefill", 1e-6, 1000, true, PlanQuantity.Seconds), lines,
            [new ChartMark(run.Tokens, exposed, $"{PlanQuantity.Whole(run.Tokens)} tokens over {run.Deployment.Link.Name}: {PlanQuantity.Seconds(exposed)}", lines[own].Colour)]);
    }

    /// <summary>Exposed time over the number of units.</summary>
    internal static string Units(PlanRun run)
    {
        int most = 8 * run.Deployment.Model.LayerCount;
        int[] counts = [.. Along(1, most).Select(u => (int)Math.Round(u)).Distinct()];
        Link[] links = [.. new[] { "100G", "400G", "3.2T" }.Select(n => run.Catalogue.Links[n]).Where(l => l.Name != run.Deployment.Link.Name).Prepend(run.Deployment.Link)];
        double Exposed(Link link, int units) => run.Deployment.Transfer(run.Tokens, link, units).ExposedSeconds;
        ChartLine[] lines = [.. links.Select((l, i) => new ChartLine(l.Name, PlanChart.Colours[i], [.. counts.Select(u => ((double)u, Exposed(l, u)))], i > 0))];
        double high = lines.SelectMany(l => l.Points).Max(p => p.Y), low = lines.SelectMany(l => l.Points).Min(p => p.Y);
        int best = counts.MinBy(u => Exposed(run.Deployment.Link, u));
        return PlanChart.Render("Exposed time over the number of units", new ChartAxis("units that the prompt is sent in", 1, most, true, v => F(v, "0")), new ChartAxis("exposed after prefill", low / 1.5, high * 1.5, true, PlanQuantity.Seconds), lines,
            [new ChartMark(best, Exposed(run.Deployment.Link, best), $"best: {best} units, {PlanQuantity.Seconds(Exposed(run.Deployment.Link, best))}", PlanChart.Colours[0])],
            [(run.Deployment.Model.LayerCount, $"one per layer: {run.Deployment.Model.LayerCount}")]);
    }

    /// <summary>What codecs gain over the link's rate: wire time of raw over theirs, overlapped.</summary>
    internal static string Codecs(PlanSummary s, PlanRun run)
    {
        const double Least = 1e9, Most = 1e12;
        CodecFigures[] codecs = [.. run.Catalogue.Codecs.Values.Where(c => c.Ratio > 1)];
        ChartLine[] lines = [.. codecs.Select((c, i) =>
        {
            CodecCost cost = CodecCost.Of(c, run.Deployment.CodecCores);
            return new ChartLine(c.Name, PlanChart.Colours[i % PlanChart.Colours.Length], [.. Along(Least, Most).Select(bits => (bits, 1e9 / (bits / 8) / cost.OverlappedSeconds(1e9, bits / 8)))], !c.IsLossless);
        })];
        double most = lines.Max(l => l.Points.Max(p => p.Y)) * 1.1;
        string cores = s.Inputs.CodecCores == 1 ? "one core" : $"{s.Inputs.CodecCores} cores";
        return PlanChart.Render("Gain of each codec over the link's rate", new ChartAxis($"link, {cores} a side", Least, Most, true, v => PlanQuantity.BitRate(v / 8)), new ChartAxis("times faster than raw on the wire", 0, most, false, v => F(v, "0.##") + "x"), lines,
            [], [(run.Deployment.Link.BitsPerSecond, run.Deployment.Link.Name)]);
    }

    /// <summary>Contexts that fit, per node.</summary>
    internal static string Capacity(PlanSummary s) => PlanBars.Render("Memory of decode nodes: weights, and room for caches", [("weights", 0), ("room for K and V", 4)],
        [.. s.Capacity.Select(r => new ChartBar(r.Node, [Math.Min(r.WeightBytes, r.MemoryBytes), r.WeightsFit ? r.FreeBytes : 0], r.WeightsFit ? $"{PlanQuantity.Whole(Math.Floor(r.Contexts))} contexts" : "weights do not fit"))]);

    /// <summary>Throughput over the number of prefill nodes, below its ceilings.</summary>
    internal static string Saturation(PlanRun run)
    {
        Deployment d = run.Deployment;
        Saturation s = d.Saturation(run.Tokens, run.OutputTokens, d.Link);
        if (s.Ceiling <= 0) return "<p class=\"note\">Not one context of this length fits beside the weights: nothing saturates, because nothing is served.</p>\n";
        double nodes = Math.Max(2, Math.Ceiling(s.PrefillNodes * 2)), most = Math.Min(Math.Max(s.Link, Math.Max(s.Memory, s.Decode)) * 1.15, s.Ceiling * 2);
        ChartLine[] lines =
        [
            new("requests per second", PlanChart.Colours[0], [.. Enumerable.Range(0, Steps + 1).Select(i => nodes * i / Steps).Append(s.PrefillNodes).Order().Select(n => (n, s.Throughput(n)))]),
            new($"link {d.Link.Name}: {PlanQuantity.Number(s.Link)} /s", PlanChart.Colours[1], [(0, s.Link), (nodes, s.Link)], true),
            new($"memory of {d.Decode.Name}: {PlanQuantity.Number(s.Memory)} /s", PlanChart.Colours[2], [(0, s.Memory), (nodes, s.Memory)], true),
            new($"decode of {d.Decode.Name}: {PlanQuantity.Number(s.Decode)} /s", PlanChart.Colours[3], [(0, s.Decode), (nodes, s.Decode)], true),
        ];
        return PlanChart.Render("Requests per second over the number of prefill nodes, and what limits them", new ChartAxis($"prefill nodes ({d.Prefill.Name}) for one {d.Decode.Name}", 0, nodes, false, v => F(v, "0.##")), new ChartAxis("requests per second", 0, most, false, v => F(v, "0.###")), lines,
            [new ChartMark(s.PrefillNodes, s.Ceiling, $"P_sat {PlanQuantity.Number(s.PrefillNodes)}: the {PlanRun.Named(s.CeilingResource)} limits", PlanChart.Colours[0])]);
    }

    /// <summary>One request's time in its parts.</summary>
    internal static string Comparison(PlanSummary s) => PlanBars.Render("Time of one request, disaggregated and colocated", [("prefill", 4), ("exposed handoff", 6), ("decode", 5)],
        [.. s.Comparison.Select(r => new ChartBar(r.Deployment, [r.PrefillSeconds, r.ExposedSeconds, r.Seconds - r.FirstTokenSeconds], $"{PlanQuantity.Seconds(r.Seconds)}, first token {PlanQuantity.Seconds(r.FirstTokenSeconds)}"))]);

    /// <summary>The fitted model and the sizes that it was or was not fitted to.</summary>
    internal static string Calibration(CalibrationSection c)
    {
        double leastX = c.Rows.Min(r => r.Bytes) / 1.5, mostX = c.Rows.Max(r => r.Bytes) * 1.5;
        double[] times = [.. c.Rows.SelectMany(r => new[] { r.MeasuredSeconds, r.PredictedSeconds })];
        ChartLine[] lines = [.. c.Fits.Select((f, i) => new ChartLine(f.Transport, PlanChart.Colours[i % PlanChart.Colours.Length], [.. Along(leastX, mostX).Select(b => (b, new LineFit(f.LatencySeconds, f.BytesPerSecond, f.KneeBytes ?? double.PositiveInfinity, f.BytesPerSecondBeyond ?? f.BytesPerSecond).Seconds(b)))]))];
        ChartMark[] marks = [.. c.Rows.Select(r => new ChartMark(r.Bytes, r.MeasuredSeconds, "", PlanChart.Colours[c.Fits.ToList().FindIndex(f => f.Transport == r.Transport) % PlanChart.Colours.Length], r.HeldOut))];
        return PlanChart.Render("Measured times and the fitted line, per transport", new ChartAxis("bytes of K and V", leastX, mostX, true, PlanQuantity.Bytes), new ChartAxis("offer to verdict", times.Min() / 1.5, times.Max() * 1.5, true, PlanQuantity.Seconds), lines, marks);
    }

    private static IEnumerable<double> Along(double least, double most) => Enumerable.Range(0, Steps + 1).Select(i => least * Math.Pow(most / least, (double)i / Steps));

    private static string F(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
