using System.Globalization;
using System.Text.Json;

namespace KvHandoff.Bench.Reports;

/// <summary>The result of <c>kernels --quick</c>, in the schema and the units of <see cref="Summary"/>.</summary>
internal sealed record KernelSummary : IJobSummary
{
    public string Schema { get; init; } = Summary.CurrentSchema;

    public string Command { get; init; } = "kernels";

    public required EnvironmentSection Environment { get; init; }

    /// <summary>"thread-cpu" or "wall": which time rates divide by.</summary>
    public required string Clock { get; init; }

    public IReadOnlyList<KernelRow> Kernels { get; init; } = [];

    /// <summary>Null when no attention was measured.</summary>
    public AttentionSection? Attention { get; init; }

    public double ElapsedSeconds { get; init; }

    /// <summary>Kernels whose output is wrong.</summary>
    public IReadOnlyList<string> Failures { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, Summary.Options);

    /// <summary>Reads a result back.</summary>
    /// <exception cref="InvalidDataException">It is no JSON, or of another schema or command; the message names both.</exception>
    internal static KernelSummary FromJson(string json)
    {
        KernelSummary? summary;
        try
        {
            summary = JsonSerializer.Deserialize<KernelSummary>(json, Summary.Options);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The kernels' results cannot be read: {e.Message}");
        }

        return (summary?.Schema, summary?.Command) == (Summary.CurrentSchema, "kernels") ? summary!
            : throw new InvalidDataException($"The results are of schema '{summary?.Schema}', command '{summary?.Command}'; expected '{Summary.CurrentSchema}', 'kernels'.");
    }

    public IEnumerable<ReportTable> Tables()
    {
        if (Kernels.Any(k => k.Attention is null)) yield return Table();
        if (Kernels.Any(k => k.Attention is not null)) yield return AttentionTable.Of(this);
    }

    private ReportTable Table() => new("kernels", $"Kernels, one thread, {Environment.Isa} ({Environment.VectorBits} bits)",
        $"Medians of {(Clock == "wall" ? "elapsed" : "thread processor")} time, kernel and limit in turns; 1 GB = 1e9 of the bytes counted.",
        [new("kernel", false), new("GB/s"), new("limit", false), new("limit GB/s"), new("ratio"), new("MiB"), new("bytes counted", false), new("allocated"), new("code", false), new("compression")],
        [.. Kernels.Where(k => k.Attention is null).Select(k => new[]
        {
            k.Name, F(k.Gbps), k.Limit, F(k.LimitGbps), F(k.Ratio), (k.CountedBytes / (double)(1 << 20)).ToString("0.##", CultureInfo.InvariantCulture), k.Counts,
            k.AllocatedBytes.ToString("#,0", CultureInfo.InvariantCulture), k.Implementation, k.CompressionRatio is { } ratio ? ratio.ToString("0.000", CultureInfo.InvariantCulture) : "",
        })]);

    private static string F(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);
}

internal sealed record KernelRow
{
    public required string Name { get; init; }

    /// <summary>Widest instruction set of the run.</summary>
    public required string Isa { get; init; }

    public int VectorBits { get; init; }

    /// <summary>"c#", the native library that does the work, or attention's kernel.</summary>
    public required string Implementation { get; init; }

    /// <summary>Counted bytes (1e9) per second.</summary>
    public double Gbps { get; init; }

    /// <summary>Which bound <see cref="LimitGbps"/> is: "memcpy", "read", "fma", or the slowest part of a fused kernel.</summary>
    public required string Limit { get; init; }

    /// <summary>The same bytes over the limit's time, measured in turns with the kernel.</summary>
    public double LimitGbps { get; init; }

    public double Ratio { get; init; }

    /// <summary>Managed bytes that one pass allocates.</summary>
    public long AllocatedBytes { get; init; }

    /// <summary>Bytes that one pass counts.</summary>
    public long CountedBytes { get; init; }

    /// <summary>Which bytes those are.</summary>
    public required string Counts { get; init; }

    public required string WorkingSet { get; init; }

    /// <summary>What the bytes hold.</summary>
    public required string Data { get; init; }

    /// <summary>Uncompressed over encoded bytes of a codec.</summary>
    public double? CompressionRatio { get; init; }

    /// <summary>Null for other kernels.</summary>
    public AttentionFigures? Attention { get; init; }

    public IReadOnlyList<double> GbpsSamples { get; init; } = [];

    public IReadOnlyList<double> LimitGbpsSamples { get; init; } = [];
}
