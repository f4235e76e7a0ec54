using System.Globalization;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Workers;
using KvHandoff.Codec;

namespace KvHandoff.Bench.Handoff;

/// <summary>The figures that transfers have to reach, beside what a run measured. They depend on the machine: a missed one is shown, and is no failure.</summary>
internal static class Figures
{
    private const string AtLeast = "at least", AtMost = "at most";

    internal static IReadOnlyList<FigureRow> Of(LimitsSection limits, IReadOnlyList<TransferRow> transfers, IReadOnlyList<LatencyRow> latencies, IReadOnlyList<PrefilledRow> prefilled)
    {
        var rows = new List<FigureRow>();
        TransferRow? Raw(string transport) => transfers.FirstOrDefault(t => t.Transport == transport && t.Codec == KvCodecs.Raw.Name);
        if (Raw(WorkerTransport.Tcp) is { } tcp)
        {
            string name = Name(tcp);
            if (limits.Iperf3Gbps is { } iperf3) rows.Add(Least(name, "iperf3 -l 1M", tcp.Gbps / iperf3, 1.2));
            if (tcp.OfBare is { } ofBare) rows.Add(Least(name, tcp.Bare!, ofBare, 0.9));
            if (tcp.OfVerifyingBare is { } ofVerifying) rows.Add(Least(name, $"{tcp.Bare} with a CRC-32C of every 256 KiB on both sides", ofVerifying, 0.9));
        }

        if (Raw(WorkerTransport.Unix) is { OfBare: { } ofUnix } unix) rows.Add(Least(Name(unix), unix.Bare!, ofUnix, 0.9));
        if (Raw(WorkerTransport.SharedMemory) is { OfBare: { } ofCopy } shared) rows.Add(Least($"{Name(shared)}, verified", shared.Bare!, ofCopy, 0.7));
        if (Raw(WorkerTransport.Tls) is { OfBare: { } ofTls } tls) rows.Add(Least(Name(tls), tls.Bare!, ofTls, 0.9));
        if (Raw(WorkerTransport.Ucx) is { OfBare: { } ofPerftest } ucx) rows.Add(Least($"{Name(ucx)}, verified", ucx.Bare!, ofPerftest, 0.9));
        foreach (PrefilledRow row in prefilled.Where(p => !p.SameHostTrust))
            rows.Add(Least(string.Create(CultureInfo.InvariantCulture, $"{row.Bytes / 1e6:0} MB of {row.Model}, prefilled straight into the blocks, publish to verdict"), "one thread's reading of memory", row.OfRead, 0.7));
        foreach (LatencyRow row in latencies)
        {
            string name = $"{row.Tokens} tokens of {row.Model} over {row.Transport}, median";
            if (row.OfBare is { } ofBare) rows.Add(Most(name, row.Bare!, ofBare, "x its time", 1.1));
            else if (row.Transport is WorkerTransport.SharedMemory) rows.Add(Most(name, "a fixed time", row.P50Us, "us", 100));
            else if (row.Transport is WorkerTransport.Tcp) rows.Add(Most(name, "a fixed time", row.P50Us, "us", 300));
            if (row.AllocatedBytesPerBlock is { } allocated) rows.Add(Most($"allocated per further block over {row.Transport}, both processes, bookkeeping of the handoff included", "nothing", allocated, "bytes", 0));
        }

        return rows;
    }

    private static string Name(TransferRow transfer) => string.Create(CultureInfo.InvariantCulture, $"{transfer.KvBytes / 1e6:0} MB of {transfer.Model} over {transfer.Transport}, raw");

    private static FigureRow Least(string name, string against, double value, double target) =>
        new() { Name = name, Against = against, Value = value, Unit = "x", Bound = AtLeast, Target = target, Reached = value >= target };

    private static FigureRow Most(string name, string against, double value, string unit, double target) =>
        new() { Name = name, Against = against, Value = value, Unit = unit, Bound = AtMost, Target = target, Reached = value <= target };
}
