using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;
using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Tests.Commands;

namespace KvHandoff.Bench.Tests.Reports;

/// <summary>The page of an evaluation and the study's eight charts: whole, right, and of use when there is little to show.</summary>
public sealed class EvaluationReportTests
{
    private static readonly string[] Stems = ["latency_comparison", "throughput_comparison", "first_token_latency", "server_component_times", "network_overhead", "token_usage", "variability_heatmap", "box_whisker_plots"];

    public static TheoryData<string> Kinds => ["usual", "baseline", "hostile", "empty", "one sample", "all failed", "silent server"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_page_is_whole_whatever_came_of_the_run(string kind)
    {
        using var scratch = new Scratch();
        EvaluationSummary summary = Summary(kind);
        EvaluationReport.Write(summary, scratch.FullName);
        string page = File.ReadAllText(scratch.File("report.html"));
        XElement root = Parse(page);
        Assert.DoesNotMatch("NaN|Infinity|∞", Regex.Replace(page, "base64,[^\"]*", ""));
        Assert.DoesNotContain(root.Descendants(), e => e.Name.LocalName is "script" or "link" or "img" or "iframe" or "object");
        Assert.All(root.Descendants().Attributes().Where(a => a.Name.LocalName is "src" or "href"), a => Assert.Matches("^(#[a-z]+|data:application/json;base64,.*)$", a.Value));
        Assert.DoesNotContain(root.Descendants().Attributes(), a => a.Name.LocalName.StartsWith("on", StringComparison.Ordinal));
        Assert.DoesNotContain("url(h", page, StringComparison.OrdinalIgnoreCase);
        string[] ids = [.. root.Descendants().Attributes("id").Select(a => a.Value)];
        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.All(root.Descendants("a").Attributes("href").Where(a => a.Value[0] == '#'), a => Assert.Contains(a.Value[1..], ids));
        Headings(root);
        foreach (XElement figure in root.Descendants("figure"))
        {
            Assert.NotNull(figure.Element("figcaption"));
            bool isDrawn = figure.Descendants("svg").Any();
            Assert.True(isDrawn ? figure.Descendants("svg").Count() >= 2 : figure.Descendants("p").Any(p => (string?)p.Attribute("class") == "words" && p.Value.Length > 10), (string?)figure.Attribute("id"));
            Assert.All(figure.Descendants("svg"), s => Assert.True((string?)s.Attribute("role") == "img" && ((string?)s.Attribute("aria-label"))?.Length > 10));
        }

        string[] figures = [.. root.Descendants("figure").Select(f => f.Attribute("id")!.Value)];
        if (summary.Loads.Count > 0) Assert.All([.. Stems, "timeline_0", "distribution_latency"], s => Assert.Contains("fig-" + s, figures));
        Assert.Equal(["verdict", "errors", "provenance"], root.Descendants("h2").Select(h => h.Attribute("id")!.Value).Where(i => i is "verdict" or "errors" or "provenance"));
    }

    [Fact]
    public void Hostile_text_stays_text()
    {
        string page = EvaluationPage.Render(Summary("hostile"));
        Assert.Contains("&lt;script&gt;alert(", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<img", page, StringComparison.Ordinal);
        // The control character was replaced, or the page would be no XML.
        Assert.Contains(PageSamples.Hostile.Replace('\u0001', '\uFFFD'), Parse(page).Descendants("td").Select(t => t.Value));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_page_made_from_the_file_is_the_same(string kind)
    {
        EvaluationSummary summary = Summary(kind);
        Assert.Equal(EvaluationPage.Render(summary), EvaluationPage.Render(EvaluationSummary.FromJson(summary.ToJson())));
    }

    [Theory]
    [InlineData("usual")]
    [InlineData("all failed")]
    public void The_eight_charts_are_files_of_their_own(string kind)
    {
        using var scratch = new Scratch();
        EvaluationReport.Write(Summary(kind), scratch.FullName);
        string[] files = [.. Directory.GetFiles(scratch.File("plots/20261122_050000")).Select(f => Path.GetFileName(f)).Order()];
        Assert.Equal(Stems.Select(s => s + "_20261122_050000.svg").Order(), files);
        XNamespace svg = "http://www.w3.org/2000/svg";
        foreach (string file in files)
        {
            XElement root = Parse(File.ReadAllText(scratch.File("plots/20261122_050000/" + file)));
            Assert.Equal(svg + "svg", root.Name);
            Assert.Contains(root.Elements(svg + "text"), t => t.Value.Length > 2);
            if (kind == "usual") Assert.True(root.Elements(svg + "rect").Count() > 4, file);
        }
    }

    [Fact]
    public void A_time_that_is_none_leads_nowhere()
    {
        RunSection run = EvaluationData.Run(1).Run;
        Assert.Equal("20261122_050000", EvaluationReport.Timestamp(run));
        Assert.Equal("undated", EvaluationReport.Timestamp(run with { StartedAt = "../../etc" }));
    }

    [Fact]
    public void Figures_of_the_tables_are_those_of_the_samples()
    {
        EvaluationSummary summary = Summary("usual");
        EvaluationSamples main = EvaluationSamples.Leading(summary)!;
        RequestRecord[] ok = [.. summary.Requests.Where(r => r is { Phase: "measured", Outcome: "ok", PromptType: "long_input_long_output" })];
        Assert.True(ok.Length > 5);
        double[] first = [.. ok.Select(r => r.Client.FirstTokenSeconds!.Value)], server = [.. ok.Select(r => r.Server!.TotalSeconds!.Value)];
        double mean = first.Sum() / first.Length, deviation = Math.Sqrt(first.Sum(v => Math.Pow(v - mean, 2)) / (first.Length - 1));
        IReadOnlyList<string> row = Figure("first_token_latency").Data!.Rows.Single(r => r[0] == "long in, long out");
        Assert.Equal([ChartNumber.Short(first.Length), ChartNumber.Seconds(mean), ChartNumber.Seconds(deviation)], row.Skip(2).Take(3));

        double relative = Math.Sqrt(server.Sum(v => Math.Pow(v - server.Average(), 2)) / (server.Length - 1)) / server.Average() * 100;
        Assert.Equal(ChartNumber.Short(relative), Figure("variability_heatmap").Data!.Rows.Single(r => r[0] == "long in, long out")[1]);

        double overhead = (ok.Average(r => r.Client.LatencySeconds!.Value) - server.Average()) / server.Average() * 100;
        IReadOnlyList<string> network = Figure("network_overhead").Data!.Rows.Single(r => r[0] == "long in, long out");
        Assert.Equal(overhead, double.Parse(network[1], CultureInfo.InvariantCulture), 0.01 * overhead + 1e-4);
        Assert.Equal([ChartNumber.Short(2100), ChartNumber.Short(640), ChartNumber.Short(2740)], Figure("token_usage").Data!.Rows.Single(r => r[0] == "long in, long out").Skip(1));

        // The bar of the picture itself, read off its axis.
        XElement picture = XElement.Parse(Figure("first_token_latency").Picture(ChartSize.Medium));
        XElement bar = picture.Elements("rect").Last(r => r.Element("title") is not null);
        Assert.Equal(mean, KvHandoff.Bench.Tests.Charts.DrawnAxis.Upright(picture).Read(double.Parse(bar.Attribute("y")!.Value, CultureInfo.InvariantCulture)), mean * 0.02);

        ReportFigure Figure(string stem) => StudyFigures.All(main).Single(f => f.Stem == stem);
    }

    [Fact]
    public void The_waterfall_hatches_what_prefill_does_not_hide()
    {
        EvaluationSummary summary = Summary("usual");
        EvaluationSamples main = EvaluationSamples.Leading(summary)!;
        ReportFigure figure = WaterfallFigures.All(main).Single(f => f.Stem == "handoff_waterfall_long_input_long_output");
        double Median(Func<RequestRecord, double?> of) => EvaluationSamples.Median(main.Values("long_input_long_output", of))!.Value;
        IReadOnlyList<string> exposed = figure.Data!.Rows.Single(r => r[0] == "exposed");
        double ready = Median(r => r.Server!.QueueSeconds) + Median(r => r.Server!.PromptSeconds), verdict = ready + Median(r => r.Server!.Handoff!.ExposedSeconds);
        Assert.Equal([ChartNumber.Seconds(ready), ChartNumber.Seconds(verdict)], exposed.Skip(1).Take(2));
        IReadOnlyList<string> wire = figure.Data.Rows.Single(r => r[0] == "wire");
        Assert.Equal(ChartNumber.Seconds(verdict), wire[2]);
        Assert.Equal(ChartNumber.Seconds(verdict - Median(r => r.Server!.Handoff!.Phases["wire"])), wire[1]);
        XElement picture = XElement.Parse(figure.Picture(ChartSize.Large));
        Assert.Contains(picture.Elements("rect"), r => ((string?)r.Attribute("fill"))?.StartsWith("url(#", StringComparison.Ordinal) == true);
        string[] defined = [.. picture.Descendants("pattern").Select(p => $"url(#{p.Attribute("id")!.Value})")];
        Assert.All(picture.Elements("rect").Attributes("fill").Where(f => f.Value.StartsWith("url", StringComparison.Ordinal)), f => Assert.Contains(f.Value, defined));
        Assert.Contains("no handoff_time", Assert.Single(WaterfallFigures.All(EvaluationSamples.Leading(Summary("silent server"))!)).Words, StringComparison.Ordinal);
    }

    [Fact]
    public void Hidden_is_what_the_exposed_part_leaves_of_the_work()
    {
        RequestRecord request = Summary("usual").Requests.First(r => r.Outcome == "ok");
        RequestRecord With(double exposed) => request with { Server = request.Server! with { Handoff = new HandoffDetail { ExposedSeconds = exposed, Phases = new Dictionary<string, double> { ["queue"] = 5, ["wire"] = 0.03, ["encode"] = 0.01, ["first_attend"] = 7 } } } };
        Assert.Equal(0.75, WaterfallFigures.HiddenShare(With(0.01))!.Value, 9);
        Assert.Equal(0, WaterfallFigures.HiddenShare(With(1))!.Value);
        Assert.Null(WaterfallFigures.HiddenShare(request with { Server = null }));
    }

    [Fact]
    public void Verdict_errors_and_provenance_say_what_matters()
    {
        string page = Parse(EvaluationPage.Render(Summary("baseline"))).Value;
        Assert.All(["speed-up of the mean latency", "goodput", "of the handoff exposed", "of K and V handed over", "retry-after: 0.4", "remaining-requests-minute", "cut stream", "valid: the client was not saturated", "by the server (usage)", "20261122-050000-abcd", new string('b', 64)], text => Assert.Contains(text, page, StringComparison.Ordinal));
        EvaluationSummary busy = Summary("usual");
        busy = busy with { Loads = [.. busy.Loads.Select(l => l with { Client = l.Client with { Saturated = true } })], Warnings = ["client busy"], Failures = ["objectives missed"] };
        page = EvaluationPage.Render(busy);
        Assert.Contains("INVALID", page, StringComparison.Ordinal);
        Assert.Contains("<p class=\"bad\">objectives missed</p>", page, StringComparison.Ordinal);
        Assert.Contains("<p class=\"warn\">client busy</p>", page, StringComparison.Ordinal);
    }

    [Fact]
    public void Curves_need_two_loads_and_the_transfer_page_a_sweep()
    {
        Assert.Single(LoadFigures.Curves(EvaluationData.Run(3)), f => f.Draw is null && f.Words.Contains("--concurrency", StringComparison.Ordinal));
        IReadOnlyList<ReportFigure> curves = LoadFigures.Curves(EvaluationData.Run(6, [1, 4]));
        Assert.Equal(["first_token_over_load_closed", "per_token_over_load_closed", "latency_over_load_closed", "goodput_over_load_closed", "pareto_closed"], curves.Select(f => f.Stem));
        Assert.All(curves, f => Assert.NotEmpty(XElement.Parse(f.Picture(ChartSize.Medium)).Elements("polyline")));
        Assert.DoesNotContain("fig-transfer_bandwidth", EvaluationPage.Render(Summary("usual")), StringComparison.Ordinal);
        string page = EvaluationPage.Render(Summary("usual"), PageSamples.Sweep());
        Assert.Contains("fig-transfer_bandwidth", page, StringComparison.Ordinal);
        Assert.Contains("tcp: 210 µs + bytes / 4.1 GB/s", WebDecode(page), StringComparison.Ordinal);
    }

    internal static EvaluationSummary Summary(string kind) => kind switch
    {
        "usual" => EvaluationData.Run(),
        "baseline" => EvaluationData.Run(8, [2, 4], hasBaseline: true),
        "hostile" => Hostile(),
        "empty" => EvaluationData.Run(2) with { Loads = [], Requests = [], Prompts = [], Slo = null },
        "one sample" => EvaluationData.Run(1, failureShare: 0),
        "all failed" => EvaluationData.Run(4, failureShare: 1),
        _ => Silent(),
    };

    private static EvaluationSummary Hostile()
    {
        EvaluationSummary summary = EvaluationData.Run(4, failureShare: 0.4, model: PageSamples.Hostile, errorText: PageSamples.Hostile);
        return summary with { Loads = [.. summary.Loads.Select(l => l with { Name = PageSamples.Hostile, Route = PageSamples.Hostile, Stages = [.. l.Stages.Select(s => s.Name == "short_input_long_output" ? s with { Name = PageSamples.Hostile } : s)] })], Requests = [.. summary.Requests.Select(r => r.PromptType == "short_input_long_output" ? r with { PromptType = PageSamples.Hostile, Id = PageSamples.Hostile } : r)], Warnings = [PageSamples.Hostile] };
    }

    // Neither time_info nor usage.
    private static EvaluationSummary Silent()
    {
        EvaluationSummary summary = EvaluationData.Run(4);
        return summary with { Slo = null, Loads = [.. summary.Loads.Select(l => l with { Goodput = null })], Requests = [.. summary.Requests.Select(r => r with { Server = null, PromptTokens = null, CompletionTokens = null, TotalTokens = null, TokenSource = "none", Client = r.Client with { NetworkOverheadSeconds = null, NetworkOverheadPercent = null, OutputSpeed = null, InterTokenSeconds = null } })] };
    }

    internal static XElement Parse(string page)
    {
        using var reader = XmlReader.Create(new StringReader(page), new XmlReaderSettings { DtdProcessing = DtdProcessing.Ignore, CheckCharacters = true });
        return XDocument.Load(reader).Root!;
    }

    private static string WebDecode(string page) => System.Net.WebUtility.HtmlDecode(page);

    // No level is left out on the way down.
    private static void Headings(XElement root)
    {
        int level = 0;
        foreach (XElement heading in root.Descendants().Where(e => e.Name.LocalName.Length == 2 && e.Name.LocalName[0] == 'h' && char.IsAsciiDigit(e.Name.LocalName[1])))
        {
            int next = heading.Name.LocalName[1] - '0';
            Assert.True(next <= level + 1, heading.ToString());
            level = next;
        }

        Assert.Single(root.Descendants("h1"));
    }
}
