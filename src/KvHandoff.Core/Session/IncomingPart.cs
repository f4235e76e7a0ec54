using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// What one sender contributes to an incoming handoff: all of it, or its share of a group's. It has the lease, the fences and the account of
/// frames that landed; it outlives the connection when the sender may come back.
/// </summary>
/// <remarks>Thread-safe: data connections claim and land frames at once.</remarks>
internal sealed class IncomingPart
{
    private const byte Empty = 0, Landing = 1, Landed = 2;

    private readonly PooledArray<byte> _frames;
    private readonly SessionClock _clock;
    private ReceiverPeer? _peer, _before;
    private long _lastActivity, _detachedAt;
    private int _left, _finished;
    private uint _digest;

    internal IncomingPart(IncomingHandoff handoff, ReceiverPeer peer, Offer offer, ulong leaseId, TimeSpan lease, HandoffShape shape, int reusedTokens, SessionClock clock)
    {
        Handoff = handoff;
        LeaseId = leaseId;
        Lease = lease;
        Shape = shape;
        Offer = offer;
        ReusedTokens = reusedTokens;
        SlotGenerations = Generations(handoff.Target, shape);
        _peer = peer;
        _clock = clock;
        _lastActivity = clock.NowMilliseconds;
        _frames = new PooledArray<byte>(shape.Frames);
        _left = shape.Frames;
        foreach (HandoffPiece piece in shape.Pieces)
        {
            for (int frame = piece.FirstFrame; frame < piece.FirstFrame + piece.Frames; frame++)
            {
                if ((piece.Locate(frame).Granule + 1) * KvSegment.GranuleTokens > reusedTokens) continue;
                _frames.Items[frame] = Landed;
                _left--;
            }
        }
    }

    internal IncomingHandoff Handoff { get; }

    internal Offer Offer { get; }

    internal ulong LeaseId { get; }

    internal TimeSpan Lease { get; }

    internal HandoffShape Shape { get; }

    internal int ReusedTokens { get; }

    /// <summary>Generation of the slot that holds each granule's first token, per layer group of the plan: part of the fence.</summary>
    internal ImmutableArray<ImmutableArray<uint>> SlotGenerations { get; }

    /// <summary>The connected sender; null while it is cut off.</summary>
    internal ReceiverPeer? Peer => Volatile.Read(ref _peer);

    /// <summary>Whether the sender said that it would come back after a break.</summary>
    internal bool CanResume => Offer.ResumeMilliseconds > 0 && LandedFrames.Fits(Shape.Frames);

    /// <summary>Whether the sender has sent its manifest.</summary>
    internal bool IsFinished => Volatile.Read(ref _finished) != 0;

    /// <summary>Frames that have not landed.</summary>
    internal int FramesLeft => Volatile.Read(ref _left);

    /// <summary>Digest over the frames that landed.</summary>
    internal uint Digest => Volatile.Read(ref _digest);

    /// <summary>The grant that answers the offer.</summary>
    internal Grant ToGrant() => new(Offer.HandoffId, LeaseId, (long)Lease.TotalMilliseconds, SlotGenerations, Shape.KvBytes)
    {
        ReusedTokens = ReusedTokens,
        Slots = Handoff.IsExposed ? SlotsOf(Handoff.Target) : [],
    };

    /// <summary>The grant for a sender that is back, with what has landed; null when the handoff has ended.</summary>
    internal Grant? ToGrantAgain()
    {
        if (!Handoff.Use.TryEnter()) return null;
        Grant grant = ToGrant() with { Landed = LandedFrames.Of(_frames.Items, Landed) };
        Handoff.Use.Exit();
        return grant;
    }

    /// <summary>No thread is inside the blocks any more, nor will be.</summary>
    internal void Return() => _frames.Return();

    /// <summary>Claims a frame. False when it has landed, is landing, or the handoff has ended: the frame is dropped.</summary>
    internal bool TryClaim(int frame)
    {
        if (!Handoff.Use.TryEnter()) return false;
        if (Interlocked.CompareExchange(ref _frames.Items[frame], Landing, Empty) == Empty) return true;
        Handoff.Use.Exit();
        return false;
    }

    /// <summary>A claimed frame was verified and is immutable from here on.</summary>
    internal void Land(int frame, int layer, long wireBytes, long bytesCopied, uint digest)
    {
        Volatile.Write(ref _frames.Items[frame], Landed);
        Touch();
        Interlocked.Decrement(ref _left);
        Interlocked.Add(ref _digest, digest);
        Handoff.Landed(layer, wireBytes, bytesCopied);
        Handoff.Use.Exit();
    }

    /// <summary>A claimed frame did not come through; after a break it may come again.</summary>
    internal void Abandon(int frame)
    {
        Volatile.Write(ref _frames.Items[frame], Empty);
        Handoff.Use.Exit();
    }

    internal void Touch() => Volatile.Write(ref _lastActivity, _clock.NowMilliseconds);

    internal void Finish() => Volatile.Write(ref _finished, 1);

    /// <summary>Completes when no thread of an earlier connection is inside the blocks any more.</summary>
    internal Task StoppedAsync() => _before?.StoppedAsync() ?? Task.CompletedTask;

    /// <summary>Completes when no sender of this part can write into the blocks by itself.</summary>
    internal Task StoppedWindowAsync() => Task.WhenAll(Peer?.WindowClosedAsync() ?? Task.CompletedTask, _before?.WindowClosedAsync() ?? Task.CompletedTask);

    /// <summary>The connection broke.</summary>
    internal void Detach()
    {
        _before = Peer ?? _before;
        Volatile.Write(ref _detachedAt, _clock.NowMilliseconds);
        Volatile.Write(ref _peer, null);
    }

    /// <summary>The sender is back, over another connection.</summary>
    internal void Attach(ReceiverPeer peer)
    {
        Touch();
        Volatile.Write(ref _peer, peer);
    }

    /// <summary>Why the part is overdue at <paramref name="now"/>, or null.</summary>
    internal string? Overdue(long now)
    {
        if (Peer is null)
        {
            long away = now - Volatile.Read(ref _detachedAt);
            return away > Offer.ResumeMilliseconds ? $"The sender did not come back within {Offer.ResumeMilliseconds} ms." : null;
        }

        long idle = now - Volatile.Read(ref _lastActivity);
        return idle > Lease.TotalMilliseconds ? $"Nothing came for {idle} ms; the lease is {Lease.TotalMilliseconds} ms." : null;
    }

    private static ImmutableArray<ImmutableArray<uint>> SlotsOf(KvSequence sequence)
    {
        var groups = ImmutableArray.CreateBuilder<ImmutableArray<uint>>();
        for (int g = 0; g < sequence.Cache.Pools.Length; g++)
        {
            var slots = ImmutableArray.CreateBuilder<uint>(sequence.Table(g).Count + 1);
            foreach (SlotHandle slot in sequence.Table(g).Slots) slots.Add((uint)slot.Slot);
            if (sequence.TryGetTail(g, out SlotHandle tail)) slots.Add((uint)tail.Slot);
            groups.Add(slots.DrainToImmutable());
        }

        return groups.ToImmutable();
    }

    private static ImmutableArray<ImmutableArray<uint>> Generations(KvSequence sequence, HandoffShape shape)
    {
        var groups = ImmutableArray.CreateBuilder<ImmutableArray<uint>>(shape.Groups.Length);
        for (int g = 0; g < shape.Groups.Length; g++)
        {
            (int first, int count) = shape.GranulesOf(g);
            int own = shape.OwnGroup(g), blockTokens = sequence.Cache.Layout.Groups[own].BlockTokens;
            var generations = ImmutableArray.CreateBuilder<uint>(count);
            for (int i = 0; i < count; i++) generations.Add(sequence.Table(own)[shape.OwnGranule(first + i) * KvSegment.GranuleTokens / blockTokens].Generation);
            groups.Add(generations.MoveToImmutable());
        }

        return groups.MoveToImmutable();
    }
}
