namespace KvHandoff.Bench.Evaluation;

/// <summary>The same load over the disaggregated and the monolithic route of one gateway, in turns.</summary>
internal sealed record BaselineSection
{
    internal const string Disaggregated = "disaggregated", Monolithic = "monolithic";

    /// <summary>Turns of each route; every second pair begins with the other one.</summary>
    public int Turns { get; init; }

    public IReadOnlyList<BaselineRow> Rows { get; init; } = [];

    public required TextEqualitySection Texts { get; init; }
}

/// <summary>One metric of one prompt type under one load, over both routes.</summary>
internal sealed record BaselineRow
{
    /// <summary>Name of the load.</summary>
    public required string Load { get; init; }

    /// <summary>Prompt type, or "all".</summary>
    public required string Stage { get; init; }

    public required string Metric { get; init; }

    public required string Unit { get; init; }

    /// <summary>"mean" or "p50".</summary>
    public required string Statistic { get; init; }

    public double Disaggregated { get; init; }

    public double Monolithic { get; init; }

    /// <summary>Disaggregated less monolithic.</summary>
    public double Difference { get; init; }

    /// <summary>Of the monolithic value; null where that is 0.</summary>
    public double? DifferencePercent { get; init; }

    /// <summary>Bootstrap interval of the difference; null where there are too few samples.</summary>
    public Interval? DifferenceCi95 { get; init; }

    /// <summary>"gain", "loss", or "none" when the interval holds 0 or is missing.</summary>
    public required string Verdict { get; init; }
}

/// <summary>Whether both routes wrote the same.</summary>
internal sealed record TextEqualitySection
{
    /// <summary>Only at temperature 0 equality is promised; else nothing is compared.</summary>
    public bool Compared { get; init; }

    /// <summary>Prompts that both routes answered completely.</summary>
    public int Prompts { get; init; }

    public int Equal { get; init; }

    public IReadOnlyList<TextDifference> Differences { get; init; } = [];
}

/// <summary>One prompt that was answered in more than one way.</summary>
internal sealed record TextDifference
{
    public required string PromptType { get; init; }

    public required string PromptSha256 { get; init; }

    /// <summary>Hashes of the texts that each route gave, and how often.</summary>
    public IReadOnlyDictionary<string, int> Disaggregated { get; init; } = new Dictionary<string, int>();

    public IReadOnlyDictionary<string, int> Monolithic { get; init; } = new Dictionary<string, int>();
}
