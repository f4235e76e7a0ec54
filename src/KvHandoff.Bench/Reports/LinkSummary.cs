using System.Globalization;
using System.Text.Json;

namespace KvHandoff.Bench.Reports;

/// <summary>The result of <c>links</c>, in the schema and the units of <see cref="Summary"/>.</summary>
internal sealed record LinkSummary : IJobSummary
{
    /// <summary>Auto may take this share of raw's time at most.</summary>
    internal const double MostOfRaw = 1.02;

    public string Schema { get; init; } = Summary.CurrentSchema;

    public string Command { get; init; } = "links";

    public required EnvironmentSection Environment { get; init; }

    /// <summary>"thread-cpu" or "wall": what encoding and decoding were timed with.</summary>
    public required string Clock { get; init; }

    public IReadOnlyList<LinkRow> Links { get; init; } = [];

    public double ElapsedSeconds { get; init; }

    public IReadOnlyList<string> Failures { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, Summary.Options);

    public IEnumerable<ReportTable> Tables() => [Table()];

    internal ReportTable Table() => new("links", "1 GiB of BF16 rows over a paced link, one core a side",
        "Encoding, checksums and decoding are real; the link is a virtual clock. Times end when the receiver has decoded everything.",
        [new("Gb/s"), new("raw s"), new("ew3 s"), new("ew3 / raw"), new("auto s"), new("auto / raw"), new("auto's frames as ew3")],
        [.. Links.Select(l => new[]
        {
            F(l.Gigabits, "0"), F(l.RawSeconds, "0.000"), F(l.EncodedSeconds, "0.000"), F(l.EncodedSeconds / l.RawSeconds, "0.000"), F(l.AutoSeconds, "0.000"),
            F(l.AutoOfRaw, "0.000"), F(l.EncodedShare * 100, "0") + " %",
        })]);

    private static string F(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}

internal sealed record LinkRow
{
    public double Gigabits { get; init; }

    public long RawBytes { get; init; }

    /// <summary>Bytes of the same rows as ew3.</summary>
    public long EncodedBytes { get; init; }

    public double RawSeconds { get; init; }

    public double EncodedSeconds { get; init; }

    public double AutoSeconds { get; init; }

    public double AutoOfRaw { get; init; }

    /// <summary>Share of auto's frames that went as ew3.</summary>
    public double EncodedShare { get; init; }
}
