using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// What goes from one sender to one receiver, and the sizes that both derive from their layouts, the token count and the codec. Layers, heads and
/// granules are those of the whole model and sequence; the members that say "own" turn them into those of this side's cache.
/// </summary>
internal sealed class HandoffShape
{
    private readonly bool _sending;
    private readonly bool[] _direct, _alike;
    private readonly int[] _firstHeads, _firstGranules, _granules;

    /// <summary>The shape of a whole sequence between two whole caches.</summary>
    /// <param name="plan">The two layouts.</param>
    /// <param name="sending">Whether this side is the sender.</param>
    /// <param name="totalTokens">Tokens that are handed over.</param>
    /// <param name="codecs">What frames may be encoded with: the one that was offered, or several of which every frame names one.</param>
    internal HandoffShape(TransferPlan plan, bool sending, int totalTokens, ImmutableArray<IKvCodec> codecs)
        : this(plan, sending, totalTokens, codecs, KvShard.Whole(plan.SourcePart.Whole, totalTokens), WholePieces(plan, totalTokens))
    {
    }

    /// <summary>The shape of a part of a sequence.</summary>
    /// <param name="plan">The two layouts.</param>
    /// <param name="sending">Whether this side is the sender.</param>
    /// <param name="totalTokens">Tokens of the whole sequence.</param>
    /// <param name="codecs">What frames may be encoded with.</param>
    /// <param name="own">What this side holds of the whole.</param>
    /// <param name="pieces">What goes from this sender to this receiver.</param>
    internal HandoffShape(TransferPlan plan, bool sending, int totalTokens, ImmutableArray<IKvCodec> codecs, KvShard own, ImmutableArray<ShardPiece> pieces)
    {
        _sending = sending;
        Layout = sending ? plan.Source : plan.Target;
        Model = plan.TargetPart.Whole;
        Groups = plan.Groups;
        TotalTokens = totalTokens;
        Codecs = codecs;
        Own = own;
        _direct = new bool[Groups.Length];
        _alike = new bool[Groups.Length];
        _firstHeads = new int[Groups.Length];
        _firstGranules = new int[Groups.Length];
        _granules = new int[Groups.Length];
        for (int g = 0; g < Groups.Length; g++)
        {
            LayerGroup ownGroup = Layout.Groups[OwnGroup(g)];
            _direct[g] = LiesAsItTravels(Groups[g], ownGroup, ownGroup.Geometry);
            _alike[g] = LiesAsItTravels(Groups[g], Groups[g].Source, Groups[g].Source.Geometry) && LiesAsItTravels(Groups[g], Groups[g].Target, Groups[g].Target.Geometry);
            _firstHeads[g] = own.HeadsOf(plan.SourcePart.Whole, Groups[g].Group).Start;
        }

        Placed = PlacedFrames.Of(plan, codecs);
        Pieces = Number(plan, pieces);
        foreach (HandoffPiece piece in Pieces) Measure(piece);
    }

    /// <summary>The layout of this side.</summary>
    internal KvCacheLayout Layout { get; }

    /// <summary>The layout of the whole model, as the receiver stores it.</summary>
    internal KvCacheLayout Model { get; }

    /// <summary>How each layer group travels.</summary>
    internal ImmutableArray<GroupTransfer> Groups { get; }

    internal int TotalTokens { get; }

    /// <summary>What frames may be encoded with.</summary>
    internal ImmutableArray<IKvCodec> Codecs { get; }

    /// <summary>What this side holds of the whole model and sequence.</summary>
    internal KvShard Own { get; }

    /// <summary>What goes from the one side to the other.</summary>
    internal ImmutableArray<HandoffPiece> Pieces { get; }

    /// <summary>How rows go that the sender writes into the receiver's blocks by itself; null where that cannot be.</summary>
    internal PlacedFrames? Placed { get; }

    /// <summary>Whether a group's rows lie in runs of the same bytes on both sides.</summary>
    internal bool LiesAlike(int group) => _alike[group];

    /// <summary>Frames in all.</summary>
    internal int Frames { get; private set; }

    /// <summary>Tokens of the sequence that this side's cache holds.</summary>
    internal int OwnTokens => Own.Tokens.Count;

    internal int MaxSegments { get; private set; }

    internal long MaxPayloadBytes { get; private set; }

    internal int MaxRanges { get; private set; }

    /// <summary>Most ranges of a frame in the receiver's blocks.</summary>
    internal int MaxTargetRanges { get; private set; }

    /// <summary>Most bytes that a codec keeps per (layer, head, plane).</summary>
    internal int HistoryBytes { get; private set; }

    /// <summary>Whether any group's rows pass through a staging buffer.</summary>
    internal bool NeedsStaging { get; private set; }

    /// <summary>Bytes of cache that the pieces take as this side stores them.</summary>
    internal long KvBytes { get; private set; }

    /// <summary>Index in this side's layout of a group of the plan.</summary>
    internal int OwnGroup(int group) => _sending ? Groups[group].SourceGroup : Groups[group].TargetGroup;

    internal int OwnLayer(int layer) => layer - Own.Layers.Start;

    internal int OwnHead(int group, int head) => head - _firstHeads[group];

    internal int OwnGranule(int granule) => granule - Own.Tokens.Start / KvSegment.GranuleTokens;

    /// <summary>First granule of a group that travels, and how many granules there are from it on: what slot generations are given for.</summary>
    internal (int First, int Count) GranulesOf(int group) => (_firstGranules[group], _granules[group]);

    /// <summary>The piece that a frame belongs to, or null.</summary>
    internal HandoffPiece? Find(int layer, int firstHead, int granule)
    {
        foreach (HandoffPiece piece in Pieces)
        {
            if (piece.Heads.Start == firstHead && piece.Has(layer, granule)) return piece;
        }

        return null;
    }

    internal int TokensIn(int granule) => KvSegment.TokensIn(granule, TotalTokens);

    /// <summary>Whether the segments of a group can be sent from, and received into, the blocks as they lie.</summary>
    internal bool IsDirect(int group, IKvCodec codec) => codec.IsIdentity && _direct[group];

    /// <summary>The codec that a frame of the group names, or null when none that was agreed on gives that number.</summary>
    internal IKvCodec? FindCodec(int group, CodecId frameCodec)
    {
        foreach (IKvCodec codec in Codecs)
        {
            if (SegmentCoder.FrameCodec(Groups[group], codec) == frameCodec) return codec;
        }

        return null;
    }

    /// <summary>The codec numbers that frames of the group may carry, for people.</summary>
    internal string FrameCodecs(int group) => string.Join(" or ", Codecs.Select(c => SegmentCoder.FrameCodec(Groups[group], c)));

    /// <summary>
    /// A frame's part of the handoff's digest: a sum over segments, so that it depends neither on the order of frames nor on how heads were
    /// divided among them.
    /// </summary>
    internal static uint DigestOf(in FrameHeader header, ReadOnlySpan<SegmentEntry> entries)
    {
        Span<byte> bytes = stackalloc byte[20];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, header.Layer);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[4..], header.Granule);
        uint sum = 0;
        for (int s = 0; s < entries.Length; s++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(bytes[8..], header.FirstHead + s / header.Planes);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[12..], s % header.Planes);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[16..], entries[s].Crc32C);
            sum += Crc32C.Compute(bytes);
        }

        return sum;
    }

    /// <summary>Why a handoff of this shape cannot be framed, or null.</summary>
    internal static string? Refusal(TransferPlan plan, int totalTokens, ImmutableArray<IKvCodec> codecs)
    {
        if (totalTokens is < 1 or > WireConstants.MaxTokens) return $"{totalTokens} tokens were offered; allowed: 1 to {WireConstants.MaxTokens}.";
        foreach (GroupTransfer group in plan.Groups)
        {
            foreach (IKvCodec codec in codecs)
            {
                if (SegmentCoder.Refusal(group, codec) is { } refusal) return refusal;
            }
        }

        long payload = new HandoffShape(plan, true, Math.Min(totalTokens, KvSegment.GranuleTokens), codecs).MaxPayloadBytes;
        return payload > WireConstants.MaxFramePayloadBytes
            ? $"One granule of one layer takes {payload} bytes; a frame holds {WireConstants.MaxFramePayloadBytes}."
            : null;
    }

    /// <summary>
    /// Why so many tokens of a sequence cannot be handed over, or null: of a tile that is packed already, all or nothing, for its tokens are
    /// in the blocks and not in the tail.
    /// </summary>
    internal static string? CutsTile(KvSequence sequence, int totalTokens)
    {
        foreach (LayerGroup group in sequence.Cache.Layout.Groups)
        {
            if (group.HasTail && totalTokens < sequence.Tokens && totalTokens % group.TileTokens != 0)
                return $"{totalTokens} of the sequence's {sequence.Tokens} tokens are offered; of a cache that is packed in tiles of {group.TileTokens}, all or a multiple of that.";
        }

        return null;
    }

    private static ImmutableArray<ShardPiece> WholePieces(TransferPlan plan, int tokens)
    {
        KvCacheLayout layout = plan.SourcePart.Whole;
        return [.. layout.Groups.Select((g, i) => new ShardPiece(i, new IndexRange(0, layout.LayerCount), new IndexRange(0, g.KvHeads), new IndexRange(0, tokens)))];
    }

    private ImmutableArray<HandoffPiece> Number(TransferPlan plan, ImmutableArray<ShardPiece> pieces)
    {
        var numbered = ImmutableArray.CreateBuilder<HandoffPiece>(pieces.Length);
        foreach (ShardPiece piece in pieces)
        {
            int transfer = 0;
            while (Groups[transfer].Group != piece.Group) transfer++;
            numbered.Add(new HandoffPiece(transfer, piece, plan.SourcePart.Whole, Frames));
            Frames = checked(Frames + numbered[^1].Frames);
            (int first, int count) = (numbered[^1].FirstGranule, numbered[^1].Granules);
            int end = Math.Max(_firstGranules[transfer] + _granules[transfer], first + count);
            _firstGranules[transfer] = _granules[transfer] == 0 ? first : Math.Min(_firstGranules[transfer], first);
            _granules[transfer] = end - _firstGranules[transfer];
            LayerGroup own = Layout.Groups[OwnGroup(transfer)];
            KvBytes += (long)numbered[^1].Layers.Length * piece.Tokens.Count * own.BytesPerTokenPerLayer * piece.KvHeads.Count / own.KvHeads;
        }

        return numbered.MoveToImmutable();
    }

    private void Measure(HandoffPiece piece)
    {
        int g = piece.Transfer, planes = Groups[g].Source.Planes;
        BlockGeometry geometry = Layout.Groups[OwnGroup(g)].Geometry;
        MaxSegments = Math.Max(MaxSegments, Math.Max(geometry.KvHeads, piece.Heads.Count) * planes);
        MaxRanges = Math.Max(MaxRanges, GranuleRows.MaxRanges(geometry, piece.Heads.Count));
        MaxTargetRanges = Math.Max(MaxTargetRanges, GranuleRows.MaxRanges(Groups[g].Target.Geometry, piece.Heads.Count));
        foreach (IKvCodec codec in Codecs)
        {
            // Not always most for a full granule: tokens that fill no tile travel wider than those that do.
            for (int tokens = 1; tokens <= KvSegment.GranuleTokens; tokens++)
            {
                long payload = 0;
                for (int plane = 0; plane < planes; plane++)
                    payload += (long)piece.Heads.Count * SegmentCoder.MaxEncodedBytes(Groups[g], codec, (KvPlane)plane, tokens);
                MaxPayloadBytes = Math.Max(MaxPayloadBytes, payload);
            }

            HistoryBytes = Math.Max(HistoryBytes, SegmentCoder.HistoryBytes(Groups[g], codec));
            NeedsStaging |= !IsDirect(g, codec);
        }
    }

    // A static scale travels with the codes but lies elsewhere; everything else that travels is in the blocks and the tail.
    private static bool LiesAsItTravels(GroupTransfer transfer, LayerGroup own, in BlockGeometry geometry)
    {
        if (!SegmentRows.IsDirect(geometry)) return false;
        for (int plane = 0; plane < own.Planes; plane++)
        {
            StorageForm form = own.Form((KvPlane)plane), wire = transfer.Wire((KvPlane)plane);
            bool same = form == wire || (!form.IsScaled && !wire.IsScaled && form.ElementType == wire.ElementType);
            if (!same || (form.IsScaled && !form.HasStoredScales)) return false;
        }

        return true;
    }
}
