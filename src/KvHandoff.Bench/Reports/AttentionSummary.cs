namespace KvHandoff.Bench.Reports;

/// <summary>Of a row of <c>kernels</c> what only attention has.</summary>
internal sealed record AttentionFigures
{
    /// <summary>Query heads/kv heads/dimension, or MLA.</summary>
    public required string Shape { get; init; }

    /// <summary>How rows are stored.</summary>
    public required string Stored { get; init; }

    public int Tokens { get; init; }

    public int Threads { get; init; }

    /// <summary>Precision of the softmax weights that was asked for: "fp32" or "bf16".</summary>
    public required string Weights { get; init; }

    /// <summary>What times of this row and of its limits are: "thread-cpu", "process-cpu" or "wall".</summary>
    public required string Clock { get; init; }

    /// <summary>Time of the step per cached token.</summary>
    public double NanosecondsPerToken { get; init; }

    /// <summary>Cached tokens per second over those of the native kernel on BF16 rows, in turns; null where there is no native kernel.</summary>
    public double? OfNativeBf16 { get; init; }

    public long MultiplyAdds { get; init; }

    /// <summary>1e9 multiply-adds per second.</summary>
    public double GigaMultiplyAdds { get; init; }

    /// <summary>Reading as many bytes of the same memory on as many threads, in turns.</summary>
    public double ReadGbps { get; init; }

    public double OfRead { get; init; }

    /// <summary>1e9 fp32 multiply-adds per second of nothing but multiply-adds on as many threads, in turns; null where it was not measured.</summary>
    public double? PeakGigaMultiplyAdds { get; init; }

    public double? OfPeak { get; init; }

    /// <summary>Largest difference from double precision over the rows as stored (8-bit rows as decoded), relative to the largest output of three heads.</summary>
    public double MaxError { get; init; }

    /// <summary>The same against the rows before they were quantised; null for rows that are not.</summary>
    public double? MaxErrorWithQuantisation { get; init; }
}

/// <summary>Which attention kernels the run used, and what it compared them with.</summary>
internal sealed record AttentionSection
{
    /// <summary><c>native avx2</c> or <c>managed avx2</c>.</summary>
    public required string InUse { get; init; }

    /// <summary>Native targets that were built, and whether this processor runs them.</summary>
    public IReadOnlyList<NativeTargetRow> NativeTargets { get; init; } = [];

    /// <summary>Why no native kernel is in use; null when one is.</summary>
    public string? ReasonManaged { get; init; }

    /// <summary>Null when the run had no step to compare.</summary>
    public BaselineSection? Baseline { get; init; }

    /// <summary>One line about the kernels.</summary>
    internal string Describe()
    {
        string targets = NativeTargets.Count == 0 ? "no native targets" : $"native targets: {string.Join(", ", NativeTargets.Select(t => t.Supported ? t.Name : $"{t.Name} (not on this processor)"))}";
        return $"{InUse} in use{(ReasonManaged is null ? "" : $" ({ReasonManaged})")}; {targets}";
    }
}

internal sealed record NativeTargetRow(string Name, bool Supported);

/// <summary>libtorch on the same step.</summary>
internal sealed record BaselineSection
{
    /// <summary>Its version and BLAS; null where it is absent.</summary>
    public string? Library { get; init; }

    /// <summary>Why it was not measured; null when it was.</summary>
    public string? Absent { get; init; }

    /// <summary>Its fastest form over BF16 rows.</summary>
    public string? BestForm { get; init; }

    /// <summary>Tokens per second of the kernels in use over those of that form, in turns.</summary>
    public double? OursOverBest { get; init; }
}
