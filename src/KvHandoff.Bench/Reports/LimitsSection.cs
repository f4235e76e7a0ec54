using System.Text.Json.Serialization;

namespace KvHandoff.Bench.Reports;

/// <summary>
/// What the machine gives, medians with their samples: one thread's copy and read bandwidth, bare connections between two processes in C# (loopback) and
/// in C++ (bare), and iperf3.
/// </summary>
internal sealed record LimitsSection
{
    public double MemcpyGbps { get; init; }

    public double ReadGbps { get; init; }

    public double TcpLoopbackGbps { get; init; }

    public double? UnixLoopbackGbps { get; init; }

    /// <summary>A bare SslStream over TCP loopback.</summary>
    public double? TlsLoopbackGbps { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public double? BareTcpGbps { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public double? BareUnixGbps { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public double? Iperf3Gbps { get; init; }

    public long BufferBytes { get; init; }

    public IReadOnlyList<double> MemcpySamples { get; init; } = [];

    public IReadOnlyList<double> ReadSamples { get; init; } = [];

    public IReadOnlyList<double> TcpLoopbackSamples { get; init; } = [];

    public IReadOnlyList<double> UnixLoopbackSamples { get; init; } = [];

    public IReadOnlyList<double> TlsLoopbackSamples { get; init; } = [];

    public IReadOnlyList<double> BareTcpSamples { get; init; } = [];

    public IReadOnlyList<double> BareUnixSamples { get; init; } = [];

    public IReadOnlyList<double> Iperf3Samples { get; init; } = [];

    /// <summary>What was not measured, and why.</summary>
    public IReadOnlyList<AbsentLimit> Absent { get; init; } = [];

    internal IEnumerable<(string Name, double? Gbps, IReadOnlyList<double> Samples)> Named() =>
    [
        ("memcpy", MemcpyGbps, MemcpySamples), ("read", ReadGbps, ReadSamples), ("TCP loopback, C#", TcpLoopbackGbps, TcpLoopbackSamples),
        ("TCP loopback, sendmsg/readv in C++", BareTcpGbps, BareTcpSamples), ("TCP loopback, iperf3 -l 1M", Iperf3Gbps, Iperf3Samples),
        ("Unix socket, C#", UnixLoopbackGbps, UnixLoopbackSamples), ("Unix socket, sendmsg/readv in C++", BareUnixGbps, BareUnixSamples), ("SslStream over TCP loopback", TlsLoopbackGbps, TlsLoopbackSamples),
    ];
}

/// <summary>A limit that was not measured.</summary>
internal sealed record AbsentLimit(string Limit, string Reason);
