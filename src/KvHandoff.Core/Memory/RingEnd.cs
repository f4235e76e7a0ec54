using System.Diagnostics;

namespace KvHandoff.Memory;

/// <summary>What one look at a ring gave.</summary>
internal enum RingStatus
{
    /// <summary>Bytes were moved.</summary>
    Moved,

    /// <summary>There is nothing to read, or no room to write, yet.</summary>
    Waiting,

    /// <summary>The writer ended its stream and everything is read.</summary>
    Ended,

    /// <summary>The peer gave up, or reads no more.</summary>
    PeerLeft,

    /// <summary>The peer's index or state is one that cannot be.</summary>
    Corrupt,
}

/// <summary>
/// One side of a ring in memory that a hostile peer can write at any time. This side's own index is a private field, and only
/// published; the peer's index is read once per look and checked against the capacity before it is used. One caller at a time,
/// except <see cref="Interrupt"/> and <see cref="Leave"/>; the mapping must outlive every call.
/// </summary>
internal sealed unsafe class RingEnd
{
    /// <summary>States of the writer and of the reader, as their words in the mapping hold them.</summary>
    internal const uint Open = 0, Ended = 1, Aborted = 2;

    private const uint SleepsOnFutex = 1, WaitsForBell = 2;

    // A peer that overwrites a futex word can undo the change that wakes a sleeper of ours; this bounds what it gains by it.
    private const int LongestSleepMilliseconds = 250;

    // Spinning steals the processor of the peer that is waited for when there are few; see docs/shared-memory.md for the figures.
    private static readonly long SpinTicks = Stopwatch.Frequency / 1_000_000
        * (Environment.ProcessorCount switch { 1 => 0, 2 => 20, _ => 50 });

    // Spins that found nothing, one after the other, until this end stops to spin; and the waits after which it tries again. A peer that
    // shares the processor with the spinner cannot answer while it spins.
    private const int FailuresUntilPause = 3, WaitsUntilRetry = 32;

    private readonly ulong* _ownIndex, _peerIndex;
    private readonly uint* _ownState, _peerState, _ownSequence, _ownWaiting, _peerSequence, _peerWaiting;
    private readonly byte* _bytes;
    private readonly ulong _capacity;
    private readonly nint _mostPerMove;
    private readonly bool _writes;
    private readonly Action _ringBell;
    private ulong _own;
    private int _failedSpins, _pausedWaits;
    private volatile bool _interrupted;

    internal RingEnd(byte* words, byte* bytes, int capacityBytes, bool writes, Action ringBell)
    {
        _bytes = bytes;
        _capacity = (ulong)capacityBytes;
        _writes = writes;
        _ringBell = ringBell;
        // Both sides copy at the same time only if neither fills or empties the ring in one go.
        _mostPerMove = capacityBytes / 8;
        _ownIndex = (ulong*)(words + (writes ? RingLayout.WriterIndex : RingLayout.ReaderIndex));
        _peerIndex = (ulong*)(words + (writes ? RingLayout.ReaderIndex : RingLayout.WriterIndex));
        _ownState = (uint*)(words + (writes ? RingLayout.WriterState : RingLayout.ReaderState));
        _peerState = (uint*)(words + (writes ? RingLayout.ReaderState : RingLayout.WriterState));
        _ownSequence = (uint*)(words + (writes ? RingLayout.SpaceSequence : RingLayout.DataSequence));
        _ownWaiting = (uint*)(words + (writes ? RingLayout.SpaceWaiting : RingLayout.DataWaiting));
        _peerSequence = (uint*)(words + (writes ? RingLayout.DataSequence : RingLayout.SpaceSequence));
        _peerWaiting = (uint*)(words + (writes ? RingLayout.DataWaiting : RingLayout.SpaceWaiting));
    }

    /// <summary>Bytes in the ring by the two indices, as the last look found them: more than the capacity where the peer's cannot be.</summary>
    internal ulong LastFilledBytes { get; private set; }

    /// <summary>The peer's state as the last look found it.</summary>
    internal uint LastPeerState { get; private set; }

    /// <summary>Copies what is there, up to <paramref name="destination"/>.</summary>
    internal int Read(Span<byte> destination, out RingStatus status)
    {
        fixed (byte* first = destination) return (int)Move((nint)first, destination.Length, out status);
    }

    /// <summary>Copies what there is room for.</summary>
    internal int Write(ReadOnlySpan<byte> bytes, out RingStatus status)
    {
        fixed (byte* first = bytes) return (int)Move((nint)first, bytes.Length, out status);
    }

    /// <summary>
    /// Copies up to <paramref name="length"/> (1 or more) bytes between <paramref name="address"/> and the ring, in this end's direction,
    /// and wakes a peer that waits for it.
    /// </summary>
    /// <returns>The bytes moved; 0 unless <paramref name="status"/> is Moved.</returns>
    internal nint Move(nint address, nint length, out RingStatus status)
    {
        // The state before the index: the index that was published before an end is then seen together with the end.
        uint state = Volatile.Read(ref *_peerState);
        ulong peer = Volatile.Read(ref *_peerIndex);
        ulong filled = _writes ? _own - peer : peer - _own;
        (LastFilledBytes, LastPeerState) = (filled, state);
        if (filled > _capacity || state > Aborted)
        {
            status = RingStatus.Corrupt;
            return 0;
        }

        ulong available = _writes ? _capacity - filled : filled;
        if (available == 0 || (_writes && state != Open))
        {
            status = state == Open ? RingStatus.Waiting : state == Ended && !_writes ? RingStatus.Ended : RingStatus.PeerLeft;
            return 0;
        }

        nint count = (nint)Math.Min(available, (ulong)Math.Min(length, _mostPerMove));
        Copy((byte*)address, count);
        _own += (ulong)count;
        Volatile.Write(ref *_ownIndex, _own);
        status = RingStatus.Moved;
        WakePeer();
        return count;
    }

    /// <summary>Blocks until a move may do something, or until <see cref="Interrupt"/>: spins while that has been worth it, then sleeps.</summary>
    internal void Wait()
    {
        if (!SpinUntilReady()) SleepUntilReady();
    }

    /// <summary>The first part of <see cref="Wait"/>: true when a move may do something.</summary>
    internal bool SpinUntilReady()
    {
        // A short look is always worth it: two hundred nanoseconds against a sleep of tens of microseconds.
        for (int i = 0; i < 4; i++)
        {
            if (IsReady) return true;
            Thread.SpinWait(1);
        }

        if (_pausedWaits > 0)
        {
            _pausedWaits--;
            return false;
        }

        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetTimestamp() - start < SpinTicks)
        {
            for (int i = 0; i < 8; i++)
            {
                if (IsReady)
                {
                    _failedSpins = 0;
                    return true;
                }
                Thread.SpinWait(1);
            }
        }

        // One more failure after a pause is enough for the next one.
        if (++_failedSpins >= FailuresUntilPause) (_failedSpins, _pausedWaits) = (FailuresUntilPause - 1, WaitsUntilRetry);
        return false;
    }

    /// <summary>The second part of <see cref="Wait"/>.</summary>
    internal void SleepUntilReady()
    {
        while (true)
        {
            // The word before the flag, the flag (a full barrier) before the look: whoever publishes after the look sees the flag and
            // changes the word.
            uint sequence = Volatile.Read(ref *_ownSequence);
            Interlocked.Or(ref *_ownWaiting, SleepsOnFutex);
            if (IsReady) break;
            FutexWord.Wait(_ownSequence, sequence, LongestSleepMilliseconds);
            if (IsReady) break;
        }
        Interlocked.And(ref *_ownWaiting, ~SleepsOnFutex);
    }

    /// <summary>Asks the peer for a bell when it has moved something; true when something is there already and no bell will come.</summary>
    internal bool AskForBell()
    {
        Interlocked.Or(ref *_ownWaiting, WaitsForBell);
        return IsReady;
    }

    /// <summary>Publishes that this side has ended or given up. A state once published stays.</summary>
    internal void Leave(uint state)
    {
        Interlocked.CompareExchange(ref *_ownState, state, Open);
        WakePeer();
    }

    /// <summary>Makes this and every later <see cref="Wait"/> return at once.</summary>
    internal void Interrupt()
    {
        _interrupted = true;
        FutexWord.Wake(_ownSequence);
    }

    /// <summary>Whether a move may do something, or there is an end to tell.</summary>
    internal bool IsReady
    {
        get
        {
            ulong peer = Volatile.Read(ref *_peerIndex);
            return (_writes ? _own - peer != _capacity : peer != _own) || Volatile.Read(ref *_peerState) != Open || _interrupted;
        }
    }

    private void WakePeer()
    {
        // What was published must be visible before the flag is read, or both sides could miss each other.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref *_peerWaiting) == 0) return;
        uint waiting = Interlocked.Exchange(ref *_peerWaiting, 0);
        if ((waiting & SleepsOnFutex) != 0) FutexWord.Wake(_peerSequence);
        if ((waiting & WaitsForBell) != 0) _ringBell();
    }

    private void Copy(byte* memory, nint count)
    {
        nint at = (nint)(_own & (_capacity - 1)), first = Math.Min(count, (nint)_capacity - at);
        Copy(memory, _bytes + at, first);
        if (first < count) Copy(memory + first, _bytes, count - first);
    }

    private void Copy(byte* memory, byte* ring, nint count)
    {
        if (_writes) Buffer.MemoryCopy(memory, ring, count, count);
        else Buffer.MemoryCopy(ring, memory, count, count);
    }
}
