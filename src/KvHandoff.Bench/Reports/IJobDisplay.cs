namespace KvHandoff.Bench.Reports;

/// <summary>Where a job says what it is doing.</summary>
internal interface IJobDisplay
{
    /// <summary>A step begins; steps follow one another.</summary>
    void Begin(string step);

    /// <summary>The present step ended with this result.</summary>
    void End(string result);

    /// <summary>A remark within a step.</summary>
    void Note(string text);
}
