using System.Collections.Immutable;
using System.Text;
using KvHandoff.Codec;
using KvHandoff.Layout;

namespace KvHandoff.Wire;

/// <summary>What a handoff is for, so that a host can tell what may wait.</summary>
public enum HandoffIntent : byte
{
    /// <summary>A request waits for its first token.</summary>
    Serve = 0,

    /// <summary>A sequence moves between workers, for balance or before a shutdown.</summary>
    Migrate = 1,

    /// <summary>Likely to be needed soon.</summary>
    Prefetch = 2,

    /// <summary>Kept for later.</summary>
    Store = 3,
}

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

    /// <summary>What it is for.</summary>
    public HandoffIntent Intent { get; init; }

    /// <summary>How long the offer may wait for room instead of being refused, 0 to 30 days.</summary>
    public long WaitMilliseconds { get; init; }

    /// <summary>How long the receiver keeps what has landed when the connection breaks, 0 to 30 days; 0: not at all.</summary>
    public long ResumeMilliseconds { get; init; }

    /// <summary>The lease that a sender which was cut off goes on with; 0 for a new handoff.</summary>
    public ulong ResumeLease { get; init; }

    /// <summary>Content hashes of the sequence's full blocks of 64 tokens from the first on, 16 bytes each; at most 8,192.</summary>
    public ByteValue PrefixHashes { get; init; }

    /// <summary>The ticket that allows the handoff; at most 1,024 bytes.</summary>
    public ByteValue Ticket { get; init; }

    /// <summary>The group that the handoff is a part of, as <c>HandoffGroup</c> writes it; empty when it is the whole. At most 64 KiB.</summary>
    public ByteValue Group { get; init; }

    /// <summary>The sender's trace context as W3C's <c>traceparent</c>, for the receiver's trace; empty when there is none. At most 64 bytes.</summary>
    public string TraceParent { get; init; } = "";

    /// <inheritdoc/>
    public override WireError? Check() =>
        WireError.Range("Total tokens", TotalTokens, 1, WireConstants.MaxTokens)
        ?? CheckRange("layer", Shard.Layers, LayerGroup.MaxLayers)
        ?? CheckRange("kv head", Shard.KvHeads, LayerGroup.MaxKvHeads)
        ?? CheckRange("token", Shard.Tokens, TotalTokens)
        ?? (KvCodecs.TryGet(Codec, out _) || Codec is CodecId.Auto or CodecId.AutoLossy ? null : WireError.Value("Codec", (byte)Codec, $"0 to {KvCodecs.All.Count - 1}, {(byte)CodecId.Auto} or {(byte)CodecId.AutoLossy}"))
        ?? WireError.Range("Deadline in milliseconds", DeadlineMilliseconds, 0, WireConstants.MaxMilliseconds)
        ?? WireError.Range("Intent", (byte)Intent, 0, (byte)HandoffIntent.Store)
        ?? WireError.Range("Wait in milliseconds", WaitMilliseconds, 0, WireConstants.MaxMilliseconds)
        ?? WireError.Range("Resume in milliseconds", ResumeMilliseconds, 0, WireConstants.MaxMilliseconds)
        ?? WireError.Range("Bytes of prefix hashes", PrefixHashes.Length, 0, WireConstants.MaxPrefixHashes * WireConstants.PrefixHashBytes)
        ?? (PrefixHashes.Length % WireConstants.PrefixHashBytes == 0 ? null : WireError.Value("Bytes of prefix hashes", PrefixHashes.Length, $"a multiple of {WireConstants.PrefixHashBytes}"))
        ?? WireError.Range("Bytes of the ticket", Ticket.Length, 0, WireConstants.MaxTicketBytes)
        ?? WireError.Range("Bytes of the group", Group.Length, 0, WireConstants.MaxGroupBytes)
        ?? WireError.Range("Bytes of the trace parent", Encoding.UTF8.GetByteCount(TraceParent), 0, WireConstants.MaxTraceParentBytes);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.Int32(2, TotalTokens);
        fields.Int32Array(3, [Shard.Layers.Start, Shard.Layers.Count, Shard.KvHeads.Start, Shard.KvHeads.Count, Shard.Tokens.Start, Shard.Tokens.Count]);
        fields.Byte(4, (byte)Codec);
        fields.Int64(5, DeadlineMilliseconds);
        fields.Text(6, RequestId);
        fields.Byte(7, Priority);
        // Left out where they say nothing; a receiver may skip all but the group, which it has to understand.
        FieldWriter optional = fields.Optional;
        if (Intent != HandoffIntent.Serve) optional.Byte(8, (byte)Intent);
        if (WaitMilliseconds != 0) optional.Int64(9, WaitMilliseconds);
        if (ResumeMilliseconds != 0) optional.Int64(10, ResumeMilliseconds);
        if (ResumeLease != 0) optional.UInt64(11, ResumeLease);
        if (!PrefixHashes.IsEmpty) optional.Bytes(12, PrefixHashes.Span);
        if (!Ticket.IsEmpty) optional.Bytes(13, Ticket.Span);
        if (!Group.IsEmpty) fields.Bytes(14, Group.Span);
        if (TraceParent.Length != 0) optional.Text(15, TraceParent);
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
            (CodecId)fields.Byte(4), fields.Int64(5), fields.Text(6), fields.Byte(7))
        {
            Intent = fields.Has(8) ? (HandoffIntent)fields.Byte(8) : HandoffIntent.Serve,
            WaitMilliseconds = fields.Has(9) ? fields.Int64(9) : 0,
            ResumeMilliseconds = fields.Has(10) ? fields.Int64(10) : 0,
            ResumeLease = fields.Has(11) ? fields.UInt64(11) : 0,
            PrefixHashes = fields.OptionalBytes(12, WireConstants.MaxPrefixHashes * WireConstants.PrefixHashBytes),
            Ticket = fields.OptionalBytes(13, WireConstants.MaxTicketBytes),
            Group = fields.OptionalBytes(14, WireConstants.MaxGroupBytes),
            TraceParent = fields.Has(15) ? fields.Text(15) : "",
        };
    }

    private static WireError? CheckRange(string what, IndexRange range, int bound) =>
        WireError.Range($"The shard's number of {what}s", range.Count, 1, bound)
        ?? WireError.Range($"The shard's first {what}", range.Start, 0, bound - range.Count);
}
