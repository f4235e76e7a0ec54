using System.Globalization;
using System.Text.Json;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>All files of an evaluation but records.jsonl, which is written as it runs.</summary>
internal static class EvaluationFiles
{
    internal const string SummaryName = "summary.json";
    private const string SeedTime = "yyyyMMdd_HHmmss";
    private static readonly JsonSerializerOptions Indented = new(Summary.Options);

    /// <param name="summary">With every request.</param>
    /// <param name="directory">Where the files go; it is made.</param>
    /// <param name="jsonFile">A second place of summary.json; null: none.</param>
    internal static async Task WriteAsync(EvaluationSummary summary, string directory, string? jsonFile)
    {
        // Of a run with very many chunks their times are in the records alone.
        IReadOnlyList<RequestRecord> all = summary.ChunkTimesOmitted ? [.. RecordsFile.Read(File.ReadLines(Path.Combine(directory, RecordsFile.Name)))] : summary.Requests;
        string json = summary.ToJson();
        Task Write(string name, string text) => ResultFiles.WriteAsync(Path.Combine(directory, name), text);
        await Write(SummaryName, json);
        await ResultFiles.WriteAsync(jsonFile, json);
        await Write(CsvFile.Name, CsvFile.Render(summary));
        await Write(MarkdownReport.Name, MarkdownReport.Render(summary));
        await Write(AiperfExport.Name, string.Concat(AiperfExport.Lines(summary.Run, all).Select(l => l + "\n")));
        foreach (LoadSection load in summary.Loads) await Write(VllmExport.FileName(load), VllmExport.Render(summary, load, all).ToJsonString(Indented));
        if (summary.Config.SeedCompat) await WriteSeedFilesAsync(summary, all, Write);
    }

    private static async Task WriteSeedFilesAsync(EvaluationSummary summary, IReadOnlyList<RequestRecord> all, Func<string, string, Task> write)
    {
        DateTimeOffset started = DateTimeOffset.Parse(summary.Run.StartedAt, CultureInfo.InvariantCulture);
        string timestamp = started.ToString(SeedTime, CultureInfo.InvariantCulture);
        EvaluationPrompt[] prompts = [.. EvaluationPrompts.Load(summary.Config.PromptSet ?? EvaluationPrompts.ReferenceSet).Where(p => summary.Prompts.Any(s => s.Type == p.Type))];
        await write(SeedResults.PromptsFileName(summary.Config.Model, timestamp), SeedDefinitions.Prompts(prompts).ToJsonString(Indented));
        foreach ((int index, LoadSection load) in summary.Loads.Index())
            await write(SeedResults.FileName(summary.Config.Model, load.Concurrency ?? 1, summary.Config.Iterations, timestamp), SeedDefinitions.Of(summary, index, all, timestamp).ToJson());
    }
}
