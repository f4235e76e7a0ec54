using System.Collections.Immutable;
using System.Globalization;
using KvHandoff.Codec;
using KvHandoff.Layout;

namespace KvHandoff.Session;

/// <summary>How the rows of a sender get to its receiver.</summary>
public enum PayloadPath
{
    /// <summary>The sender writes them into the receiver's blocks, which it has mapped.</summary>
    SharedMemoryWindow,

    /// <summary>Through the ring of a shared-memory connection: copied in and out.</summary>
    SharedMemoryRing,

    /// <summary>The sender writes them into the receiver's blocks one-sidedly, through UCX; which transports carry that is UCX's choice.</summary>
    RemoteMemory,

    /// <summary>Through sockets of this host.</summary>
    LocalSocket,

    /// <summary>Over the network.</summary>
    Network,

    /// <summary>Through memory of this process, or a transport that the host registered.</summary>
    Other,
}

/// <summary>One layer group on its way.</summary>
/// <param name="Group">Index of the group in the whole model's layout.</param>
/// <param name="Layers">Layers that travel.</param>
/// <param name="Steps">What happens to it.</param>
/// <param name="FrameBytes">Bytes of a frame of 64 tokens, at most.</param>
/// <param name="IsSentInPlace">Whether the socket reads the sender's blocks themselves; otherwise rows are gathered or encoded into a buffer.</param>
/// <param name="LandsInPlace">Whether the socket writes the receiver's blocks themselves.</param>
/// <param name="SenderRuns">Contiguous runs in the sender's blocks.</param>
/// <param name="ReceiverRuns">Contiguous runs in the receiver's blocks.</param>
public sealed record PathGroup(
    int Group, int Layers, TransferSteps Steps, long FrameBytes, bool IsSentInPlace, bool LandsInPlace, ImmutableArray<RunSize> SenderRuns, ImmutableArray<RunSize> ReceiverRuns);

/// <summary>What makes a path slower, or less faithful or safe, than it could be.</summary>
public enum PathConcern
{
    /// <summary>Runs of contiguous bytes are below 4 KiB.</summary>
    ShortRuns,

    /// <summary>Rows are gathered or scattered through a buffer.</summary>
    GatheredRows,

    /// <summary>A single data connection goes to another host.</summary>
    OneStream,

    /// <summary>What arrives is close to what was sent, not equal.</summary>
    Lossy,

    /// <summary>Both ends are on one host, and the rows do not go through shared memory.</summary>
    NoSharedMemory,

    /// <summary>Shared memory is in use, but the rows go through the ring.</summary>
    NoWindow,

    /// <summary>Socket buffers are small for a network.</summary>
    SmallSocketBuffers,

    /// <summary>The network device is at another NUMA node than the blocks.</summary>
    RemoteNumaNode,

    /// <summary>The bytes go to another host unencrypted.</summary>
    Plaintext,

    /// <summary>The path reaches less than half of what it should.</summary>
    BelowExpectation,
}

/// <summary>One warning.</summary>
/// <param name="Concern">What it is about.</param>
/// <param name="Text">What was found, and what to do.</param>
public sealed record PathWarning(PathConcern Concern, string Text);

/// <summary>Which way a sender's rows take, why, what they should reach and what they reach. A snapshot; immutable.</summary>
public sealed record PathReport
{
    /// <summary>The receiver's endpoint.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Name of the transport.</summary>
    public required string Transport { get; init; }

    /// <summary>The way of the rows.</summary>
    public required PayloadPath Payload { get; init; }

    /// <summary>Why they go this way.</summary>
    public required string Why { get; init; }

    /// <summary>Whether the connections are encrypted.</summary>
    public required bool IsEncrypted { get; init; }

    /// <summary>Data connections.</summary>
    public required int Streams { get; init; }

    /// <summary>Codec of offers that do not name one.</summary>
    public required CodecId Codec { get; init; }

    /// <summary>What happens to the rows, over all groups.</summary>
    public required TransferSteps Steps { get; init; }

    /// <summary>Per layer group that travels.</summary>
    public required ImmutableArray<PathGroup> Groups { get; init; }

    /// <summary>What committed handoffs reached so far.</summary>
    public required PathRates Rates { get; init; }

    /// <summary>Bytes per second that the path should reach with its frames, from the limit that was given; null without one.</summary>
    public double? ExpectedBytesPerSecond { get; init; }

    /// <summary>The best handoff's rate against the expected one; null while one of them is unknown.</summary>
    public double? OfExpected => ExpectedBytesPerSecond is { } expected && Rates.Handoffs > 0 ? Rates.BestBytesPerSecond / expected : null;

    /// <summary>What to change.</summary>
    public required ImmutableArray<PathWarning> Warnings { get; init; }

    /// <summary>A few readable lines.</summary>
    public override string ToString() => string.Join(Environment.NewLine,
    [
        $"path   {Endpoint}, {Streams} {(Streams == 1 ? "stream" : "streams")}, {(IsEncrypted ? "encrypted" : "not encrypted")}: {Why}",
        $"plan   {Steps}, codec {HandoffAccount.NameOf(Codec)}",
        .. Groups.Select(Line),
        $"rate   {RateText()}",
        .. Warnings.Select(w => $"warn   {w.Text}"),
    ]);

    private string RateText()
    {
        string reached = Rates.Handoffs == 0 ? "no handoff committed yet"
            : $"{Giga(Rates.BestBytesPerSecond)} at best, {Giga(Rates.MeanBytesPerSecond)} on average over {Rates.Handoffs} committed handoffs";
        string expected = ExpectedBytesPerSecond is { } limit ? $"{Giga(limit)} expected" : "no limit given to compare with";
        return OfExpected is { } share ? $"{reached}; {expected}: {share.ToString("P0", CultureInfo.InvariantCulture)}" : $"{reached}; {expected}";
    }

    private static string Line(PathGroup g) =>
        $"group  {g.Group}: {g.Layers} layers, {g.Steps}, frames of {g.FrameBytes} bytes; {(g.IsSentInPlace ? "sent from the blocks" : "encoded into a buffer")}, {Runs(g.SenderRuns)}; "
        + $"{(g.LandsInPlace ? "received into the blocks" : "placed from a buffer")}, {Runs(g.ReceiverRuns)}";

    private static string Runs(ImmutableArray<RunSize> runs) => string.Join(" and ", runs.Select(r => $"{r.Runs} x {r.Bytes} bytes"));

    private static string Giga(double bytesPerSecond) => string.Create(CultureInfo.InvariantCulture, $"{bytesPerSecond / 1e9:0.000} GB/s");
}
