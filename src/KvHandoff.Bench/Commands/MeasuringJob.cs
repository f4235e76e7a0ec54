using KvHandoff.Bench.Reports;
using KvHandoff.Model.Checkpoint;
using KvHandoff.Session;

namespace KvHandoff.Bench.Commands;

/// <summary>Runs a job that measures, writes what it found, and makes an exit code of it.</summary>
internal static class MeasuringJob
{
    /// <param name="quiet">Print nothing but failures.</param>
    /// <param name="job">The job.</param>
    /// <param name="files">The files to write: a path, or null for none, and the text.</param>
    internal static async Task<int> RunAsync<T>(bool quiet, Func<IJobDisplay, Task<T>> job, Func<T, IEnumerable<(string? Path, string Text)>> files)
        where T : IJobSummary
    {
        try
        {
            T summary = await JobDisplays.RunAsync(quiet, job);
            foreach ((string? path, string text) in files(summary)) await ResultFiles.WriteAsync(path, text);
            if (!quiet) TerminalReport.Write(summary.Tables(), summary.Failures.Count, summary.ElapsedSeconds);
            foreach (string failure in summary.Failures) await Console.Error.WriteLineAsync("FAILED: " + failure);
            return summary.Failures.Count == 0 ? ExitCodes.Success : ExitCodes.Failure;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("Interrupted; no results were written.");
            return ExitCodes.Interrupted;
        }
        catch (Exception e) when (e is InvalidDataException or CheckpointException or HandoffException or NotSupportedException)
        {
            await Console.Error.WriteLineAsync("FAILED: " + e.Message);
            return ExitCodes.Failure;
        }
    }

    /// <summary>A file in the output directory, if there is one.</summary>
    internal static string? In(string? directory, string file) => directory is null ? null : Path.Combine(directory, file);
}
