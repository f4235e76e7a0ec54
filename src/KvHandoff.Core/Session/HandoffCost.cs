namespace KvHandoff.Session;

/// <summary>The phases of a handoff, in order. Phases of both sides overlap, so their sum may exceed the elapsed time.</summary>
public enum HandoffPhase
{
    /// <summary>Sender: published rows waiting for a stream (the longest wait of any frame).</summary>
    Queue,

    /// <summary>Receiver: from the offer's arrival to the grant.</summary>
    Reserve,

    /// <summary>Sender: rows copied out of blocks before they are encoded; 0, since the encoding pass reads them where they lie.</summary>
    Gather,

    /// <summary>Sender: codec and checksums.</summary>
    Encode,

    /// <summary>Receiver: reading payload from the connections.</summary>
    Wire,

    /// <summary>Receiver: checksums.</summary>
    Verify,

    /// <summary>Receiver: decoding and copying into blocks that a socket cannot write in place.</summary>
    Place,

    /// <summary>Receiver: from the last landed frame or the manifest, whichever came later, to the verdict.</summary>
    Commit,

    /// <summary>Receiver: the first decode step over the landed cache, as the host measured it.</summary>
    FirstAttend,
}

/// <summary>What one handoff cost.</summary>
public sealed record HandoffCost
{
    /// <summary>Number of phases.</summary>
    public const int PhaseCount = (int)HandoffPhase.FirstAttend + 1;

    private readonly long[] _nanoseconds = new long[PhaseCount];

    internal HandoffCost(ReadOnlySpan<long> nanoseconds) => nanoseconds[..Math.Min(PhaseCount, nanoseconds.Length)].CopyTo(_nanoseconds);

    /// <summary>Bytes of cache that were handed over, as the sender's layout stores them.</summary>
    public long KvBytes { get; init; }

    /// <summary>Bytes of frames on the wire: headers, segment tables and encoded rows.</summary>
    public long WireBytes { get; init; }

    /// <summary>Bytes that user code copied between buffers on the way (the kernel's own copies are not counted).</summary>
    public long BytesCopied { get; init; }

    /// <summary>From the offer to the receiver's verdict, as this side saw it.</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>Time spent in <paramref name="phase"/>, summed over the streams.</summary>
    public TimeSpan this[HandoffPhase phase] => TimeSpan.FromTicks(_nanoseconds[(int)phase] / 100);

    /// <summary>Copies by user code per byte of cache delivered.</summary>
    public double BytesCopiedPerByte => KvBytes == 0 ? 0 : (double)BytesCopied / KvBytes;

    internal ReadOnlySpan<long> Nanoseconds => _nanoseconds;
}
