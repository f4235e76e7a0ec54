using System.Globalization;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Workers;

namespace KvHandoff.Bench.Limits;

/// <summary>Measures what this machine gives: memory, and the bare loop of every transport that the job uses.</summary>
internal sealed class MachineLimits(IJobDisplay display)
{
    private const int Samples = 5, LoopSamples = 3;

    internal async Task<LimitsSection> MeasureAsync(IReadOnlyList<string> transports, CancellationToken cancellationToken)
    {
        display.Begin("limits of this machine: copy, read, bare loops");
        double[] copy = await Task.Run(() => MemoryLimits.Copy(Samples), cancellationToken);
        double[] read = await Task.Run(() => MemoryLimits.Read(Samples), cancellationToken);
        var absent = new List<AbsentLimit>();
        double[] tcp = await ManagedAsync(WorkerTransport.Tcp, Samples, cancellationToken);
        double[] unix = transports.Contains(WorkerTransport.Unix) ? await ManagedAsync(WorkerTransport.Unix, LoopSamples, cancellationToken) : [];
        double[] tls = transports.Contains(WorkerTransport.Tls) ? await ManagedAsync(WorkerTransport.Tls, LoopSamples, cancellationToken) : [];
        double[] bareTcp = await NativeAsync("bare_tcp", WorkerTransport.Tcp, transports, absent, cancellationToken);
        double[] bareUnix = await NativeAsync("bare_unix", WorkerTransport.Unix, transports, absent, cancellationToken);
        (double[] iperf3, string? why) = transports.Contains(WorkerTransport.Tcp) ? await Iperf3Limit.MeasureAsync(LoopSamples, cancellationToken) : ([], "no transfer over tcp was asked for");
        if (transports.Contains(WorkerTransport.Ucx))
        {
            (UcxPerftestLoop? perftest, string report) = await UcxPerftestLoop.TryStartAsync(cancellationToken);
            display.Note($"UCX {KvHandoff.Transport.UcxTransport.LibraryVersion}, {UcxPerftestLoop.Program}: {report}");
            if (perftest is null) absent.Add(new AbsentLimit(UcxPerftestLoop.Program, report));
        }

        if (why is not null) absent.Add(new AbsentLimit("iperf3", why));
        var limits = new LimitsSection
        {
            MemcpyGbps = Median.Of(copy),
            ReadGbps = Median.Of(read),
            TcpLoopbackGbps = Median.Of(tcp),
            UnixLoopbackGbps = MedianOrNull(unix),
            TlsLoopbackGbps = MedianOrNull(tls),
            BareTcpGbps = MedianOrNull(bareTcp),
            BareUnixGbps = MedianOrNull(bareUnix),
            Iperf3Gbps = MedianOrNull(iperf3),
            BufferBytes = MemoryLimits.BufferBytes,
            MemcpySamples = copy,
            ReadSamples = read,
            TcpLoopbackSamples = tcp,
            UnixLoopbackSamples = unix,
            TlsLoopbackSamples = tls,
            BareTcpSamples = bareTcp,
            BareUnixSamples = bareUnix,
            Iperf3Samples = iperf3,
            Absent = absent,
        };
        display.End(string.Join(", ", limits.Named().Where(l => l.Gbps is not null).Select(l => string.Create(CultureInfo.InvariantCulture, $"{l.Name} {l.Gbps:0.0}"))) + " GB/s");
        foreach (AbsentLimit one in absent) display.Note($"no {one.Limit}: {one.Reason}");
        return limits;
    }

    private static async Task<double[]> ManagedAsync(string transport, int samples, CancellationToken cancellationToken)
    {
        await using ManagedLoop loop = await ManagedLoop.StartAsync(transport, cancellationToken);
        return await loop.SampleAsync(samples, cancellationToken);
    }

    private static async Task<double[]> NativeAsync(string name, string transport, IReadOnlyList<string> transports, List<AbsentLimit> absent, CancellationToken cancellationToken)
    {
        if (!transports.Contains(transport) || !NativeLoop.IsAvailable(transport))
        {
            absent.Add(new AbsentLimit(name, transports.Contains(transport) ? NativeLoop.Missing : $"no transfer over {transport} was asked for"));
            return [];
        }

        await using NativeLoop loop = await NativeLoop.StartAsync(transport, cancellationToken);
        return await loop.SampleAsync(LoopSamples, cancellationToken);
    }

    private static double? MedianOrNull(double[] samples) => samples.Length == 0 ? null : Median.Of(samples);
}
