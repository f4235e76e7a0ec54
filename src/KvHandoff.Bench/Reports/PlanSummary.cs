using System.Text.Json;

namespace KvHandoff.Bench.Reports;

/// <summary>The result of <c>plan</c>, in the schema and the units of <see cref="Summary"/>: seconds, bytes, bits per second where a name says so.</summary>
internal sealed record PlanSummary : IJobSummary
{
    public string Schema { get; init; } = Summary.CurrentSchema;

    public string Command { get; init; } = "plan";

    public required PlanInputs Inputs { get; init; }

    /// <summary>The answer in one row: the prompt, the link, the codec that were asked for.</summary>
    public required PlanLinkRow Answer { get; init; }

    public IReadOnlyList<PlanSizeRow> Sizes { get; init; } = [];

    public IReadOnlyList<PlanLinkRow> Links { get; init; } = [];

    public IReadOnlyList<PlanUnitsRow> Units { get; init; } = [];

    public IReadOnlyList<PlanCodecRow> Codecs { get; init; } = [];

    public IReadOnlyList<PlanCapacityRow> Capacity { get; init; } = [];

    public IReadOnlyList<PlanSaturationRow> Saturation { get; init; } = [];

    public IReadOnlyList<PlanComparisonRow> Comparison { get; init; } = [];

    /// <summary>The model beside a measured sweep; null where none was given.</summary>
    public CalibrationSection? Calibration { get; init; }

    /// <summary>Every figure that was used, with its source.</summary>
    public IReadOnlyList<PlanSourceRow> Sources { get; init; } = [];

    public double ElapsedSeconds { get; init; }

    public IReadOnlyList<string> Failures { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, Summary.Options);

    public IEnumerable<ReportTable> Tables() => PlanTables.All(this);
}

internal sealed record PlanInputs
{
    public required string Model { get; init; }

    public required string Element { get; init; }

    public int Tokens { get; init; }

    public int OutputTokens { get; init; }

    public required string Prefill { get; init; }

    public required string PrefillPrecision { get; init; }

    public required string Decode { get; init; }

    public required string WeightPrecision { get; init; }

    public required string Colocated { get; init; }

    public required string Link { get; init; }

    public required string Codec { get; init; }

    public int CodecCores { get; init; }

    public int Units { get; init; }

    /// <summary>Size of the messages that a unit is cut into; null for one per unit.</summary>
    public double? MessageBytes { get; init; }

    public double StallSeconds { get; init; }

    public double CachedShare { get; init; }

    public double Layers { get; init; }

    public double MaxContextTokens { get; init; }

    public double KvBytesPerToken { get; init; }

    /// <summary>Where attention costs as much as the linear layers.</summary>
    public double BalanceTokens { get; init; }
}

internal sealed record PlanSizeRow
{
    public int Tokens { get; init; }

    public double KvBytes { get; init; }

    public double Fp8Bytes { get; init; }

    public double PrefillSeconds { get; init; }

    /// <summary>At the line rate, as it is.</summary>
    public double RawWireSeconds { get; init; }

    public double ExposedSeconds { get; init; }

    public double HiddenShare { get; init; }

    /// <summary>Contexts of this length that fit beside the weights.</summary>
    public double ContextsInDecode { get; init; }
}

internal sealed record PlanLinkRow
{
    public required string Link { get; init; }

    public double BitsPerSecond { get; init; }

    public int Tokens { get; init; }

    /// <summary>K and V of the prompt before the codec.</summary>
    public double KvBytes { get; init; }

    public double WireBytes { get; init; }

    /// <summary>K and V as they are over the line rate: nothing else.</summary>
    public double RawWireSeconds { get; init; }

    /// <summary>How long the path is busy: message costs, codec and both network sides counted.</summary>
    public double WireSeconds { get; init; }

    /// <summary>"line", "message rate", "prefill network", "decode network", "encode" or "decode".</summary>
    public required string Bottleneck { get; init; }

    public double PrefillSeconds { get; init; }

    /// <summary>Everything sent after prefill.</summary>
    public double StoreAndForwardSeconds { get; init; }

    public int Units { get; init; }

    public double ExposedSeconds { get; init; }

    public double HiddenShare { get; init; }

    public int BestUnits { get; init; }

    public double BestExposedSeconds { get; init; }

    /// <summary>Line rate in bits per second from which all but the last unit hides.</summary>
    public double HidingBitsPerSecond { get; init; }
}

internal sealed record PlanUnitsRow
{
    public int Units { get; init; }

    public double UnitBytes { get; init; }

    public double ExposedSeconds { get; init; }

    public double WireSeconds { get; init; }

    public bool IsBest { get; init; }
}

internal sealed record PlanCodecRow
{
    public required string Codec { get; init; }

    public bool Lossless { get; init; }

    public double Ratio { get; init; }

    /// <summary>Of all cores of a side, in bytes before encoding; null where there is nothing to do.</summary>
    public double? EncodeBytesPerSecond { get; init; }

    public double? DecodeBytesPerSecond { get; init; }

    public required string RatesFrom { get; init; }

    /// <summary>Line rate in bits per second below which it pays when nothing overlaps.</summary>
    public double? SerialBreakEvenBitsPerSecond { get; init; }

    public double? OverlappedBreakEvenBitsPerSecond { get; init; }

    public double? FullGainBitsPerSecond { get; init; }

    /// <summary>Wire time on the asked link, overlapped.</summary>
    public double WireSeconds { get; init; }

    public double ExposedSeconds { get; init; }

    /// <summary>Exposed time of raw over this one's.</summary>
    public double Gain { get; init; }

    public bool Pays { get; init; }
}

internal sealed record PlanCapacityRow
{
    public required string Node { get; init; }

    public double MemoryBytes { get; init; }

    public double WeightBytes { get; init; }

    public bool WeightsFit { get; init; }

    public double FreeBytes { get; init; }

    /// <summary>Contexts of prompt and output.</summary>
    public double Contexts { get; init; }

    /// <summary>Most tokens that a single sequence could have.</summary>
    public double LongestTokens { get; init; }

    public double TokenSeconds { get; init; }

    public double TokensPerSecond { get; init; }
}

internal sealed record PlanSaturationRow
{
    public required string Workload { get; init; }

    public int PromptTokens { get; init; }

    public int OutputTokens { get; init; }

    public double PrefillNodeRate { get; init; }

    public double LinkRate { get; init; }

    public double MemoryRate { get; init; }

    public double DecodeRate { get; init; }

    public double PrefillNodes { get; init; }

    public required string Limit { get; init; }
}

internal sealed record PlanComparisonRow
{
    public required string Deployment { get; init; }

    public double PrefillSeconds { get; init; }

    public double ExposedSeconds { get; init; }

    public double FirstTokenSeconds { get; init; }

    public double TokenSeconds { get; init; }

    public double Seconds { get; init; }

    /// <summary>That one of each node bears, in full batches.</summary>
    public double RequestsPerSecond { get; init; }

    /// <summary>This one's time over the disaggregated one's.</summary>
    public double OfDisaggregated { get; init; }

    /// <summary>Output tokens from which the disaggregated one ends first; null for itself.</summary>
    public double? BreakEvenTokens { get; init; }

    public string? Note { get; init; }
}

internal sealed record PlanSourceRow
{
    public required string Figure { get; init; }

    public required string Value { get; init; }

    public required string Source { get; init; }
}
