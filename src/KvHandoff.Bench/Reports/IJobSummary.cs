namespace KvHandoff.Bench.Reports;

/// <summary>What every job's result has, whatever it measured.</summary>
internal interface IJobSummary
{
    double ElapsedSeconds { get; }

    /// <summary>What was measured and found wrong; empty when the job succeeded.</summary>
    IReadOnlyList<string> Failures { get; }

    string ToJson();

    /// <summary>For the terminal and the page.</summary>
    IEnumerable<ReportTable> Tables();
}
