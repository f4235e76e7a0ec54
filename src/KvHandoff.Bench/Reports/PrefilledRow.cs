using System.Globalization;

namespace KvHandoff.Bench.Reports;

/// <summary>A cache that prefill wrote straight into the receiver's blocks: medians of the time from publishing its layers to the verdict.</summary>
internal sealed record PrefilledRow
{
    public required string Model { get; init; }

    public int Tokens { get; init; }

    public long Bytes { get; init; }

    /// <summary>Whether the receiver takes the sender's word for the rows, or reads them to verify.</summary>
    public bool SameHostTrust { get; init; }

    public double Seconds { get; init; }

    /// <summary>Bytes over the median.</summary>
    public double Gbps { get; init; }

    /// <summary>Over the rate at which one thread reads memory.</summary>
    public double OfRead { get; init; }

    public IReadOnlyList<double> SecondsSamples { get; init; } = [];
}

/// <summary>The table of them.</summary>
internal static class PrefilledTable
{
    internal static ReportTable Of(IReadOnlyList<PrefilledRow> rows) => new("prefilled", "Prefilled straight into the blocks",
        "Over shared memory the sender writes rows where they are to lie. Timed from publishing the layers, which lie there by then, to the verdict: the sender reads them for checksums, the receiver to verify them unless it trusts senders on its host. The last handoff was compared byte by byte.",
        [new("model", false), new("tokens"), new("MB"), new("receiver", false), new("ms"), new("GB/s"), new("of reading")],
        [.. rows.Select(r => new[]
        {
            r.Model, r.Tokens.ToString("#,0", CultureInfo.InvariantCulture), (r.Bytes / 1e6).ToString("#,0.0", CultureInfo.InvariantCulture), r.SameHostTrust ? "trusts" : "verifies",
            (r.Seconds * 1e3).ToString("0.00", CultureInfo.InvariantCulture), r.Gbps.ToString("0.0", CultureInfo.InvariantCulture), r.OfRead.ToString("0.00", CultureInfo.InvariantCulture),
        })]);
}
