using System.Diagnostics;
using System.Text.Json;
using System.Xml.Linq;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Tests.Commands;

namespace KvHandoff.Bench.Tests.Reports;

/// <summary><c>compare</c> and <c>report</c>, as functions and as the built program.</summary>
public sealed class ComparisonTests
{
    [Fact]
    public void A_run_against_itself_differs_nowhere()
    {
        ComparedRun run = ComparedRun.Of("a", EvaluationData.Run());
        RunComparison comparison = RunComparison.Of([run, run with { Name = "b" }], []);
        Assert.True(comparison.Rows.Count > 100);
        Assert.All(comparison.Rows, r =>
        {
            Assert.Equal(0, r.Difference);
            Assert.Equal("none", r.Verdict);
            if (r.DifferenceCi95 is { } range) Assert.InRange(0, range.Low, range.High);
        });
    }

    [Fact]
    public void A_slower_run_loses_where_its_samples_say_so()
    {
        EvaluationSummary first = EvaluationData.Run(30), other = EvaluationData.Run(30, slowness: 1.3, seed: 2);
        RunComparison comparison = RunComparison.Of([ComparedRun.Of("a", first), ComparedRun.Of("b", other)], []);
        ComparisonRow row = comparison.Rows.Single(r => r is { Stage: "long_input_long_output", Metric: MetricNames.FirstToken, Statistic: "p50" });
        double Median(EvaluationSummary s)
        {
            double[] sorted = [.. s.Requests.Where(r => r is { Phase: "measured", Outcome: "ok", PromptType: "long_input_long_output" }).Select(r => r.Client.FirstTokenSeconds!.Value).Order()];
            return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[sorted.Length / 2 - 1] + sorted[sorted.Length / 2]) / 2;
        }

        Assert.Equal(Median(first), row.First, 9);
        Assert.Equal(Median(other), row.Other, 9);
        Assert.Equal((row.Other - row.First) / row.First * 100, row.DifferencePercent!.Value, 9);
        Assert.True(row.DifferenceCi95!.Low > 0 && row.DifferenceCi95.High < row.First);
        Assert.Equal("loss", row.Verdict);
        Assert.Equal("loss", comparison.Rows.Single(r => r is { Stage: "long_input_long_output", Metric: MetricNames.OutputSpeed, Statistic: "p50" }).Verdict);
    }

    [Theory]
    [InlineData("ttft_ms:p50>10%", MetricNames.FirstToken, "p50", true, 10, true)]
    [InlineData("e2e_ms:p99>2000", MetricNames.Latency, "p99", true, 2, false)]
    [InlineData("output_speed:mean<-5%", MetricNames.OutputSpeed, "mean", false, -5, true)]
    [InlineData("latency@long_input_long_output>0.5%", MetricNames.Latency, "p50", true, 0.5, true)]
    public void Conditions_are_read(string text, string metric, string statistic, bool isAbove, double limit, bool isPercent)
    {
        FailCondition condition = FailCondition.Parse(text)!;
        Assert.Equal((metric, statistic, isAbove, isPercent), (condition.Metric, condition.Statistic, condition.IsAbove, condition.IsPercent));
        Assert.Equal(limit, condition.Limit, 9);
    }

    [Theory]
    [InlineData("")]
    [InlineData("ttft_ms")]
    [InlineData("ttft_ms:p101>1%")]
    [InlineData("ttft_ms:p50>x%")]
    [InlineData("teapots:p50>10%")]
    [InlineData("ttft_ms:p50=10%")]
    public void What_is_no_condition_is_refused(string text) => Assert.Null(FailCondition.Parse(text));

    [Fact]
    public void A_condition_that_cannot_be_judged_fails()
    {
        ComparedRun run = ComparedRun.Of("a", EvaluationData.Run(hasHandoff: false));
        Assert.Contains("could be judged", Assert.Single(FailCondition.Parse("exposed_ms:p50>10%")!.Failures([run, run])), StringComparison.Ordinal);
    }

    [Fact]
    public void The_page_lays_runs_over_each_other()
    {
        using var scratch = new Scratch();
        XElement root = EvaluationReportTests.Parse(File.ReadAllText(PageSamples.WriteComparison(scratch.FullName)));
        string[] figures = [.. root.Descendants("figure").Select(f => f.Attribute("id")!.Value)];
        Assert.All(["fig-differences_0_0", "fig-overlay_0", "fig-medians_0"], f => Assert.Contains(f, figures));
        // Two lines, one per run.
        Assert.All(root.Descendants("figure").Where(f => f.Attribute("id")!.Value.StartsWith("fig-overlay", StringComparison.Ordinal)).SelectMany(f => f.Descendants("svg")), s => Assert.Equal(2, s.Elements("polyline").Count()));
        Assert.DoesNotContain("NaN", root.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_program_compares_and_its_exit_code_is_a_gate()
    {
        using var scratch = new Scratch();
        string a = scratch.File("a.json"), b = scratch.File("b.json"), handoff = scratch.File("h1.json"), slower = scratch.File("h2.json");
        File.WriteAllText(a, EvaluationData.Run().ToJson());
        File.WriteAllText(b, EvaluationData.Run(slowness: 1.4, seed: 3).ToJson());
        File.WriteAllText(handoff, PageSamples.Sweep().ToJson());
        File.WriteAllText(slower, PageSamples.Sweep(1.3).ToJson());
        (int code, string output, string errors) = Run("compare", a, b, "--output", scratch.File("out"), "--json", scratch.File("c.json"), "--fail-on", "tpot_ms:p50>20%", "--fail-on", "ttft_ms:p50<-90%");
        Assert.True(code == 1, output + errors);
        Assert.Contains("FAILED: tpot_ms:p50>20%", Assert.Single(errors.TrimEnd().Split('\n')), StringComparison.Ordinal);
        Assert.Contains("b.json against a.json", output, StringComparison.Ordinal);
        Assert.Equal("compare", JsonDocument.Parse(File.ReadAllText(scratch.File("c.json"))).RootElement.GetProperty("command").GetString());
        Assert.True(File.Exists(scratch.File("out/comparison.html")) && File.Exists(scratch.File("out/comparison.json")));
        Assert.Equal(0, Run("compare", a, b, "--quiet", "--fail-on", "tpot_ms:p50>500%").Code);
        (code, output, errors) = Run("compare", handoff, slower, "--fail-on", "seconds:p50>10%");
        Assert.Equal((1, 2), (code, errors.TrimEnd().Split('\n').Length));
        Assert.Equal(0, Run("compare", handoff, slower, "--fail-on", "seconds:p50>50%").Code);
    }

    [Fact]
    public void The_program_makes_every_page_again()
    {
        using var scratch = new Scratch();
        EvaluationSummary evaluation = EvaluationData.Run(4);
        string a = scratch.File("a.json"), handoff = scratch.File("h.json");
        File.WriteAllText(a, evaluation.ToJson());
        File.WriteAllText(handoff, PageSamples.Sweep().ToJson());
        Assert.Equal(0, Run("plan", "--output", scratch.File("plan")).Code);
        Assert.Equal(0, Run("simulate", "--workload", "alike", "--requests", "200", "--sweep-nodes", "1,2", "--output", scratch.File("plan")).Code);
        (int code, string output, string errors) = Run("report", a, handoff, scratch.File("plan/plan.json"), scratch.File("plan/simulation.json"), "--output", scratch.File("out"));
        Assert.True(code == 0, errors);
        Assert.Equal(["report.html", "plan.html", "simulation.html"], output.TrimEnd().Split('\n').Select(p => Path.GetFileName(p)));
        Assert.Equal(EvaluationPage.Render(evaluation, PageSamples.Sweep()), File.ReadAllText(scratch.File("out/report.html")));
        foreach (string page in new[] { "plan.html", "simulation.html" }) Assert.Equal(Body(scratch.File("plan/" + page)), Body(scratch.File("out/" + page)));
        Assert.Equal(0, Run("report", handoff, "--output", scratch.File("handoff")).Code);
        Assert.Equal(HtmlReport.Render(PageSamples.Sweep()), File.ReadAllText(scratch.File("handoff/report.html")));
    }

    [Theory]
    [InlineData("\"requests\": [", "\"requests\": null, \"others\": [")]
    [InlineData("\"loads\": [", "\"loads\": null, \"others\": [")]
    [InlineData("\"command\": \"evaluate\"", "\"command\": \"links\"")]
    [InlineData("kvhandoff.bench/1", "kvhandoff.bench/9")]
    [InlineData("\"throughput\": {", "\"thrift\": {")]
    public void A_damaged_result_is_refused(string from, string to)
    {
        string json = EvaluationData.Run(1).ToJson(), damaged = json.Replace(from, to, StringComparison.Ordinal);
        Assert.NotEqual(json, damaged);
        Assert.NotNull(new ResultPages().With(json).Evaluation);
        Assert.Throws<InvalidDataException>(() => new ResultPages().With(damaged));
        Assert.Throws<InvalidDataException>(() => ComparedRun.Read("a", damaged));
    }

    public static TheoryData<string[], string, string> Wrong => new()
    {
        { ["compare", "/nowhere/a.json"], "FILE", "two to 8" },
        { ["compare", "/nowhere/a.json", "/nowhere/b.json"], "'/nowhere/a.json'", "file that exists" },
        { ["compare", "/proc/version", "/proc/version"], "'/proc/version'", "results of evaluate or handoff" },
        { ["compare", "a", "b", "--fail-on", "x>1"], "'x>1'", "ttft_ms:p50>10%" },
        { ["report"], "--from", "path of a file" },
        { ["report", "/proc/version"], "'/proc/version'", "results of this program" },
        { ["report", "/nowhere/a.json"], "'/nowhere/a.json'", "file that exists" },
        { ["report", "a", "--from", "b"], "'b'", "one of the two" },
        { ["report", "a", "--output", "/proc/version"], "'/proc/version'", "directory" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Wrong_arguments_are_one_line_and_exit_code_2(string[] arguments, string value, string allowed)
    {
        (int code, string output, string errors) = Run(arguments);
        Assert.Equal((2, ""), (code, output));
        string line = Assert.Single(errors.TrimEnd().Split('\n'));
        Assert.Contains(value, line, StringComparison.Ordinal);
        Assert.Contains(allowed, line, StringComparison.Ordinal);
        Assert.Contains("llowed", line, StringComparison.Ordinal);
    }

    // Without the line that says where and when the page was made.
    private static string Body(string page) => EvaluationReportTests.Parse(File.ReadAllText(page)).Descendants("main").Single().ToString();

    private static (int Code, string Output, string Errors) Run(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetTempPath() };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "KvHandoff.Bench.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromSeconds(120)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail("The program hung.");
        }

        return (process.ExitCode, output.Result, errors.Result);
    }
}
