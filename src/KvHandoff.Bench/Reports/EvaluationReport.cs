using System.Globalization;
using KvHandoff.Bench.Charts;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>Writes the page of an evaluation, and the study's charts as files of their own.</summary>
internal static class EvaluationReport
{
    /// <summary>Writes report.html and plots/&lt;timestamp&gt;/ below a directory, which is made.</summary>
    internal static void Write(EvaluationSummary summary, string directory) => Write(summary, directory, null, null);

    /// <param name="summary">What was measured.</param>
    /// <param name="directory">Where to.</param>
    /// <param name="handoff">For the transfer page.</param>
    /// <param name="kernels">For the roofline.</param>
    internal static void Write(EvaluationSummary summary, string directory, Summary? handoff, KernelSummary? kernels)
    {
        Directory.CreateDirectory(directory);
        File.WriteAllText(Path.Combine(directory, "report.html"), EvaluationPage.Render(summary, handoff, kernels));
        if (EvaluationSamples.Leading(summary) is not { } main) return;
        string time = Timestamp(summary.Run), plots = Path.Combine(directory, "plots", time);
        Directory.CreateDirectory(plots);
        foreach (ReportFigure figure in StudyFigures.All(main))
            File.WriteAllText(Path.Combine(plots, $"{figure.Stem}_{time}.svg"), ChartTheme.Standalone(figure.Draw is null ? InWords(figure) : figure.Picture(figure.IsWhole ? ChartSize.Large : ChartSize.Medium)));
    }

    /// <summary>When the run began, as the study writes it. What is no time gives a name that is safe all the same.</summary>
    internal static string Timestamp(RunSection run) => DateTimeOffset.TryParse(run.StartedAt, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out DateTimeOffset time) ? time.ToString("yyyyMMdd_HHmmss", CultureInfo.InvariantCulture) : "undated";

    // A file is there even where there is nothing to draw: it says why.
    private static string InWords(ReportFigure figure)
    {
        var canvas = new SvgCanvas($"{figure.Stem}-m", ChartSize.Medium.Width(), $"{figure.Title}: {figure.Words}");
        canvas.Text(0, 20, figure.Title, "name");
        double y = 24;
        foreach (string line in ChartFrame.Wrap(figure.Words, canvas.Width, 6)) canvas.Text(0, y += SvgCanvas.LineHeight, line);
        return canvas.Close(y + 10);
    }
}
