using System.Text.Json;
using System.Text.Json.Serialization;

namespace KvHandoff.Bench.Reports;

/// <summary>The result of a job as <c>summary.json</c> holds it: snake_case names, SI units, <c>gbps</c> = 1e9 bytes per second.</summary>
internal sealed record Summary
{
    internal const string CurrentSchema = "kvhandoff.bench/1";

    /// <summary>How every result of this program is written.</summary>
    internal static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public string Schema { get; init; } = CurrentSchema;

    public string Command { get; init; } = "handoff";

    public required EnvironmentSection Environment { get; init; }

    public required LimitsSection Limits { get; init; }

    /// <summary>Null when the reference model was not run.</summary>
    public ReferenceSection? Reference { get; init; }

    public IReadOnlyList<TransferRow> Transfers { get; init; } = [];

    public IReadOnlyList<ProjectionRow> Projection { get; init; } = [];

    public IReadOnlyList<StageRow> Stages { get; init; } = [];

    /// <summary>Small handoffs: one block, and a short prompt of a large model.</summary>
    public IReadOnlyList<LatencyRow> Latencies { get; init; } = [];

    public IReadOnlyList<PrefilledRow> Prefilled { get; init; } = [];

    public IReadOnlyList<SweepRow> Sweep { get; init; } = [];

    public IReadOnlyList<FitRow> Fits { get; init; } = [];

    /// <summary>What transfers should reach, and what they did.</summary>
    public IReadOnlyList<FigureRow> Figures { get; init; } = [];

    public double ElapsedSeconds { get; init; }

    /// <summary>What was measured and found wrong; empty when the job succeeded.</summary>
    public IReadOnlyList<string> Failures { get; init; } = [];

    internal string ToJson() => JsonSerializer.Serialize(this, Options);

    /// <summary>Reads a summary back.</summary>
    /// <exception cref="InvalidDataException">It is no JSON, or of another schema; the message names both.</exception>
    internal static Summary FromJson(string json)
    {
        Summary? summary;
        try
        {
            summary = JsonSerializer.Deserialize<Summary>(json, Options);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The summary cannot be read: {e.Message}");
        }

        if (summary?.Schema != CurrentSchema) throw new InvalidDataException($"The summary's schema is '{summary?.Schema}'; expected '{CurrentSchema}'.");
        return summary;
    }
}

internal sealed record EnvironmentSection
{
    public required string Cpu { get; init; }

    public required int Cores { get; init; }

    public long MemoryBytes { get; init; }

    public required string Os { get; init; }

    public required string Dotnet { get; init; }

    public required string Isa { get; init; }

    public int VectorBits { get; init; }

    public required string Version { get; init; }

    public required string Time { get; init; }
}

internal sealed record ReferenceSection
{
    public required string Model { get; init; }

    public required string Codec { get; init; }

    /// <summary>Every prompt's tokens equal the single-process run's; null with a lossy codec, where equality is not promised.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public bool? TokensEqual { get; init; }

    /// <summary>Prompt tokens that the decode process computed itself.</summary>
    public long DecodePrefilledTokens { get; init; }

    public IReadOnlyList<PromptRow> Prompts { get; init; } = [];

    /// <summary>What a lossy codec changes on held-out text.</summary>
    public QualityRow? Quality { get; init; }
}

internal sealed record PromptRow
{
    public required string Name { get; init; }

    public int PromptTokens { get; init; }

    public int CompletionTokens { get; init; }

    public bool TokensEqual { get; init; }

    /// <summary>Tokens before the first one that differs.</summary>
    public int EqualTokens { get; init; }

    /// <summary>Share of positions with the same token, 0 to 1.</summary>
    public double TokenAgreement { get; init; }

    /// <summary>From the request to the prefill process until the decode process may emit the first token.</summary>
    public double TtftMs { get; init; }

    /// <summary>From the commit to the second token: the first one computed from the landed cache.</summary>
    public double FirstDecodeMs { get; init; }

    /// <summary>Mean time per token after the first.</summary>
    public double TpotMs { get; init; }

    /// <summary>Prefill in the prefill process, handoff included where it overlaps.</summary>
    public double PrefillMs { get; init; }

    public double SinglePrefillMs { get; init; }

    public double SingleTpotMs { get; init; }

    public string Text { get; init; } = "";

    public required HandoffRow Handoff { get; init; }
}

/// <summary>One handoff. Phases are seconds, summed over threads, and overlap: they need not add up to <see cref="Seconds"/>.</summary>
internal sealed record HandoffRow
{
    public long Bytes { get; init; }

    public long WireBytes { get; init; }

    /// <summary>From the offer to the receiver's verdict; of a real prompt this includes the prefill.</summary>
    public double Seconds { get; init; }

    /// <summary>From the end of prefill to the verdict: what the handoff adds.</summary>
    public double ExposedSeconds { get; init; }

    public required IReadOnlyDictionary<string, double> Phases { get; init; }
}

internal sealed record QualityRow
{
    public required string Codec { get; init; }

    public int PrefixTokens { get; init; }

    public int ContinuationTokens { get; init; }

    /// <summary>Share of positions where the handed-over cache gives the same most probable token, 0 to 1.</summary>
    public double Top1Agreement { get; init; }

    public double PerplexitySingle { get; init; }

    public double PerplexityHandedOver { get; init; }

    /// <summary>Relative change in percent.</summary>
    public double PerplexityChangePercent { get; init; }
}

internal sealed record TransferRow
{
    public required string Model { get; init; }

    public int Tokens { get; init; }

    public long KvBytes { get; init; }

    public long WireBytes { get; init; }

    /// <summary>What the receiver's data sockets counted in the same handoff.</summary>
    public long SocketBytes { get; init; }

    public required string Codec { get; init; }

    public required string Transport { get; init; }

    public int Streams { get; init; }

    /// <summary>Median over <see cref="SecondsSamples"/>, from the offer to the receiver's verdict.</summary>
    public double Seconds { get; init; }

    /// <summary>Cache bytes (not wire bytes) per second.</summary>
    public double Gbps { get; init; }

    public double OfMemcpy { get; init; }

    public double OfTcpLoopback { get; init; }

    /// <summary>The bare loop of the same transport; absent where none was measured in turns with the transfer.</summary>
    public string? Bare { get; init; }

    /// <summary>Median of the bare loop, in turns with the transfer.</summary>
    public double? BareGbps { get; init; }

    public double? OfBare { get; init; }

    /// <summary>Of the bare loop when it checksums what it moves on both sides; absent where it cannot.</summary>
    public double? OfVerifyingBare { get; init; }

    /// <summary>Processor time of both processes per GB of cache, of the run that is the median.</summary>
    public double CpuSecondsPerGb { get; init; }

    public required IReadOnlyDictionary<string, double> Phases { get; init; }

    public double BytesCopiedPerByte { get; init; }

    /// <summary>Every byte compared with what the seed gives, in every repetition.</summary>
    public bool Verified { get; init; }

    public long BytesCompared { get; init; }

    /// <summary>Poisoned bytes behind the last token, all of them still poison.</summary>
    public long TailBytesChecked { get; init; }

    public IReadOnlyList<double> SecondsSamples { get; init; } = [];

    /// <summary>The first run, which warms code and pages up and does not count.</summary>
    public double WarmUpSeconds { get; init; }
}

internal sealed record ProjectionRow
{
    public required string Model { get; init; }

    public int Gbit { get; init; }

    public required string Codec { get; init; }

    public int Tokens { get; init; }

    public long WireBytes { get; init; }

    /// <summary>"measured" or "computed".</summary>
    public required string WireBytesSource { get; init; }

    public double WireMs { get; init; }

    public double PrefillMs { get; init; }

    public required string PrefillSource { get; init; }

    public double ExposedMs { get; init; }

    /// <summary>Part of the wire time that prefill hides, 0 to 1.</summary>
    public double HiddenShare { get; init; }
}

internal sealed record StageRow
{
    public required string Name { get; init; }

    public double Gbps { get; init; }

    /// <summary>Which bound <see cref="LimitGbps"/> is: "memcpy" or "read".</summary>
    public required string Limit { get; init; }

    public double LimitGbps { get; init; }

    public double Ratio { get; init; }

    public long AllocatedBytes { get; init; }

    public double NanosecondsPerFrame { get; init; }

    public IReadOnlyList<double> GbpsSamples { get; init; } = [];
}
