using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Codec;
using KvHandoff.Layout;

namespace KvHandoff.Wire;

/// <summary>Asks for room for a sequence.</summary>
/// <param name="HandoffId">Chosen by the sender; a repeated offer of the same id is the same handoff.</param>
/// <param name="TotalTokens">Tokens of the sequence, 1 to 2,097,152.</param>
/// <param name="Shard">What this sender will send of it.</param>
/// <param name="Codec">How its frames are encoded.</param>
/// <param name="DeadlineMilliseconds">Time left for the whole handoff, 0 to 30 days.</param>
/// <param name="RequestId">The request's name at the host, at most 1024 bytes of UTF-8.</param>
/// <param name="Priority">Higher goes first.</param>
public sealed record Offer(Guid HandoffId, int TotalTokens, KvShard Shard, CodecId Codec, long DeadlineMilliseconds, string RequestId, byte Priority)
    : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Offer;

    /// <inheritdoc/>
    public override WireError? Check() =>
        WireError.Range("Total tokens", TotalTokens, 1, WireConstants.MaxTokens)
        ?? CheckRange("layer", Shard.Layers, LayerGroup.MaxLayers)
        ?? CheckRange("kv head", Shard.KvHeads, LayerGroup.MaxKvHeads)
        ?? CheckRange("token", Shard.Tokens, TotalTokens)
        ?? (KvCodecs.TryGet(Codec, out _) || Codec is CodecId.Auto or CodecId.AutoLossy ? null : WireError.Value("Codec", (byte)Codec, $"0 to {KvCodecs.All.Count - 1}, {(byte)CodecId.Auto} or {(byte)CodecId.AutoLossy}"))
        ?? WireError.Range("Deadline in milliseconds", DeadlineMilliseconds, 0, WireConstants.MaxMilliseconds);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.Int32(2, TotalTokens);
        fields.Int32Array(3, [Shard.Layers.Start, Shard.Layers.Count, Shard.KvHeads.Start, Shard.KvHeads.Count, Shard.Tokens.Start, Shard.Tokens.Count]);
        fields.Byte(4, (byte)Codec);
        fields.Int64(5, DeadlineMilliseconds);
        fields.Text(6, RequestId);
        fields.Byte(7, Priority);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields)
    {
        Guid id = fields.Guid(1);
        int tokens = fields.Int32(2);
        ImmutableArray<int> shard = fields.Int32Array(3, 6);
        if (shard.Length != 6)
        {
            fields.Fail(WireErrorCode.BadLength, $"field 3 has {shard.Length} numbers; expected 6");
            shard = [0, 0, 0, 0, 0, 0];
        }

        return new Offer(id, tokens, new KvShard(new IndexRange(shard[0], shard[1]), new IndexRange(shard[2], shard[3]), new IndexRange(shard[4], shard[5])),
            (CodecId)fields.Byte(4), fields.Int64(5), fields.Text(6), fields.Byte(7));
    }

    private static WireError? CheckRange(string what, IndexRange range, int bound) =>
        WireError.Range($"The shard's number of {what}s", range.Count, 1, bound)
        ?? WireError.Range($"The shard's first {what}", range.Start, 0, bound - range.Count);
}

/// <summary>Room is reserved: the sender may send as many bytes as its credit.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="LeaseId">The reservation; every frame names it.</param>
/// <param name="LeaseMilliseconds">How long it lasts unless renewed, 0 to 30 days.</param>
/// <param name="SlotGenerations">Per layer group and granule: what a frame of that granule must carry. At most 16 x 32,768.</param>
/// <param name="CreditBytes">Payload bytes that the sender may have in flight, not negative.</param>
public sealed record Grant(
    Guid HandoffId, ulong LeaseId, long LeaseMilliseconds, ImmutableArray<ImmutableArray<uint>> SlotGenerations, long CreditBytes) : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Grant;

    /// <inheritdoc/>
    public override WireError? Check()
    {
        ReadOnlySpan<ImmutableArray<uint>> groups = ArrayValue.Span(SlotGenerations);
        WireError? error = WireError.Range("Lease in milliseconds", LeaseMilliseconds, 0, WireConstants.MaxMilliseconds)
            ?? WireError.Range("Credit in bytes", CreditBytes, 0, long.MaxValue)
            ?? WireError.Range("Granted layer groups", groups.Length, 0, KvCacheLayout.MaxGroups);
        foreach (ImmutableArray<uint> group in groups)
            error ??= WireError.Range("Granted granules of a layer group", ArrayValue.Span(group).Length, 0, WireConstants.MaxGranules);
        return error;
    }

    /// <inheritdoc/>
    public bool Equals(Grant? other) =>
        other is not null && HandoffId == other.HandoffId && LeaseId == other.LeaseId && LeaseMilliseconds == other.LeaseMilliseconds
        && CreditBytes == other.CreditBytes && ArrayValue.Equal(SlotGenerations, other.SlotGenerations);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(HandoffId, LeaseId, LeaseMilliseconds, CreditBytes);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.UInt64(2, LeaseId);
        fields.Int64(3, LeaseMilliseconds);
        WriteGenerations(fields);
        fields.Int64(5, CreditBytes);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Grant(fields.Guid(1), fields.UInt64(2), fields.Int64(3), ReadGenerations(ref fields), fields.Int64(5));

    // Field 4: per group a count u32 and as many generations u32.
    private void WriteGenerations(FieldWriter fields)
    {
        ReadOnlySpan<ImmutableArray<uint>> groups = ArrayValue.Span(SlotGenerations);
        int bytes = 0;
        foreach (ImmutableArray<uint> group in groups) bytes += sizeof(uint) * (1 + ArrayValue.Span(group).Length);
        Span<byte> rest = fields.Begin(4, bytes);
        foreach (ImmutableArray<uint> group in groups)
        {
            ReadOnlySpan<uint> generations = ArrayValue.Span(group);
            BinaryPrimitives.WriteInt32LittleEndian(rest, generations.Length);
            rest = rest[sizeof(uint)..];
            foreach (uint generation in generations)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(rest, generation);
                rest = rest[sizeof(uint)..];
            }
        }
    }

    private static ImmutableArray<ImmutableArray<uint>> ReadGenerations(ref FieldReader fields)
    {
        ReadOnlySpan<byte> rest = fields.Elements(4, sizeof(uint), KvCacheLayout.MaxGroups * (1 + WireConstants.MaxGranules));
        ImmutableArray<ImmutableArray<uint>>.Builder groups = ImmutableArray.CreateBuilder<ImmutableArray<uint>>();
        while (!rest.IsEmpty)
        {
            uint count = BinaryPrimitives.ReadUInt32LittleEndian(rest);
            rest = rest[sizeof(uint)..];
            int left = rest.Length / sizeof(uint);
            if (groups.Count == KvCacheLayout.MaxGroups || count > (uint)left)
            {
                fields.Fail(WireErrorCode.BadLength, $"layer group {groups.Count} of field 4 claims {count} granules; {left} are left, and a layout has at most {KvCacheLayout.MaxGroups} groups");
                return [];
            }

            var generations = new uint[count];
            for (int i = 0; i < generations.Length; i++) generations[i] = BinaryPrimitives.ReadUInt32LittleEndian(rest[(i * sizeof(uint))..]);
            groups.Add(ImmutableCollectionsMarshal.AsImmutableArray(generations));
            rest = rest[(generations.Length * sizeof(uint))..];
        }

        return groups.ToImmutable();
    }
}

/// <summary>Why an offer was refused.</summary>
public enum RejectReason : byte
{
    /// <summary>Too few free blocks.</summary>
    NoSpace = 1,

    /// <summary>The two caches do not fit together.</summary>
    LayoutMismatch = 2,

    /// <summary>Too many handoffs at once.</summary>
    Busy = 3,

    /// <summary>The receiver takes no more handoffs.</summary>
    ShuttingDown = 4,

    /// <summary>The offer contradicts itself or the layout.</summary>
    BadOffer = 5,

    /// <summary>The handoff id is in use or has ended.</summary>
    Duplicate = 6,

    /// <summary>The sender may not do this.</summary>
    Unauthorized = 7,
}

/// <summary>No room is reserved; nothing may be sent.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="Reason">Why.</param>
/// <param name="Message">For people; cut to 1024 bytes of UTF-8.</param>
/// <param name="BytesNeeded">What the sequence needs; 0 when that is not the reason.</param>
/// <param name="BytesFree">What is free.</param>
/// <param name="RetryAfterMilliseconds">When another try may succeed, 0 to 30 days.</param>
public sealed record Reject(Guid HandoffId, RejectReason Reason, string Message, long BytesNeeded, long BytesFree, long RetryAfterMilliseconds)
    : ControlMessage
{
    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Reject;

    /// <inheritdoc/>
    public override WireError? Check() =>
        WireError.Range("Reject reason", (byte)Reason, (byte)RejectReason.NoSpace, (byte)RejectReason.Unauthorized)
        ?? WireError.Range("Bytes needed", BytesNeeded, 0, long.MaxValue)
        ?? WireError.Range("Bytes free", BytesFree, 0, long.MaxValue)
        ?? WireError.Range("Retry after, in milliseconds", RetryAfterMilliseconds, 0, WireConstants.MaxMilliseconds);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.Byte(2, (byte)Reason);
        fields.Explanation(3, Message);
        fields.Int64(4, BytesNeeded);
        fields.Int64(5, BytesFree);
        fields.Int64(6, RetryAfterMilliseconds);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Reject(fields.Guid(1), (RejectReason)fields.Byte(2), fields.Text(3), fields.Int64(4), fields.Int64(5), fields.Int64(6));
}
