using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>Which rows one sender and one receiver exchange, computed alike on both sides.</summary>
internal static class HandoffParts
{
    /// <summary>What part of a model a cache is: what the host says, or all of it.</summary>
    /// <exception cref="ArgumentException">The cache does not have the layout of that part.</exception>
    internal static CachePart PartOf(PagedKvCache cache, CachePart? part)
    {
        if (part is null) return CachePart.All(cache.Layout);
        if (part.Check() is { } wrong) throw new ArgumentException(wrong, nameof(part));
        if (!part.Layout.Equals(cache.Layout)) throw new ArgumentException($"The cache is {cache.Layout}; the part of the model that was given is {part.Layout}.", nameof(part));
        return part;
    }

    /// <summary>The shape of a handoff between one sender and one receiver; null, or why there is none.</summary>
    internal static string? TryShape(TransferPlan plan, bool sending, int totalTokens, ImmutableArray<IKvCodec> codecs, HandoffGroup? group, out HandoffShape? shape)
    {
        shape = null;
        if (group is null && plan.SourcePart.IsAll && plan.TargetPart.IsAll)
        {
            shape = new HandoffShape(plan, sending, totalTokens, codecs);
            return null;
        }

        IndexRange all = new(0, totalTokens);
        group ??= new HandoffGroup([plan.SourcePart.Shard with { Tokens = all }], [plan.TargetPart.Shard with { Tokens = all }], 0, 0, 0);
        if (Difference("sender", group.Source, group.Sources[group.Source], plan.SourcePart) is { } senderDiffers) return senderDiffers;
        if (Difference("receiver", group.Target, group.Targets[group.Target], plan.TargetPart) is { } receiverDiffers) return receiverDiffers;
        if (!ShardPlan.TryCreate(plan.SourcePart.Whole, totalTokens, group.Sources.AsSpan(), group.Targets.AsSpan(), out ShardPlan? shards, out string? reason)) return reason;
        ImmutableArray<ShardPiece> pieces = shards!.Pieces(group.Source, group.Target);
        if (pieces.IsEmpty) return $"Sender {group.Source} of the group has nothing that receiver {group.Target} is to get from it.";
        shape = new HandoffShape(plan, sending, totalTokens, codecs, sending ? group.Sources[group.Source] : group.Targets[group.Target], pieces);
        return null;
    }

    /// <summary>Senders of the group that have something for its receiver, by index.</summary>
    internal static ImmutableArray<int> SendersTo(TransferPlan plan, int totalTokens, HandoffGroup group) =>
        ShardPlan.TryCreate(plan.SourcePart.Whole, totalTokens, group.Sources.AsSpan(), group.Targets.AsSpan(), out ShardPlan? shards, out _)
            ? [.. Enumerable.Range(0, group.Sources.Length).Where(s => !shards!.Pieces(s, group.Target).IsEmpty)]
            : [];

    /// <summary>Per layer of the receiver's cache: frames that all senders together bring.</summary>
    internal static int[] FramesPerLayer(TransferPlan plan, int totalTokens, HandoffShape shape, HandoffGroup? group)
    {
        var frames = new int[shape.Layout.LayerCount];
        if (group is null || !ShardPlan.TryCreate(plan.SourcePart.Whole, totalTokens, group.Sources.AsSpan(), group.Targets.AsSpan(), out ShardPlan? shards, out _))
        {
            foreach (HandoffPiece piece in shape.Pieces)
            {
                foreach (int layer in piece.Layers) frames[shape.OwnLayer(layer)] += piece.Granules;
            }

            return frames;
        }

        for (int source = 0; source < group.Sources.Length; source++)
        {
            foreach (ShardPiece piece in shards!.Pieces(source, group.Target))
            {
                foreach (int layer in piece.LayersIn(shards.Layout)) frames[shape.OwnLayer(layer)] += KvSegment.GranuleCount(piece.Tokens.Count);
            }
        }

        return frames;
    }

    /// <summary>The content hashes of an offer, whose length the wire has checked.</summary>
    internal static ImmutableArray<PrefixHash> HashesOf(ByteValue bytes)
    {
        var hashes = ImmutableArray.CreateBuilder<PrefixHash>(bytes.Length / PrefixHash.Bytes);
        for (int i = 0; i < hashes.Capacity; i++) hashes.Add(PrefixHash.Read(bytes.Span[(i * PrefixHash.Bytes)..]));
        return hashes.MoveToImmutable();
    }

    private static string? Difference(string side, int index, KvShard listed, CachePart part) => listed with { Tokens = default } == part.Shard with { Tokens = default }
        ? null
        : $"The group lists {side} {index} with {listed}; its cache holds layers {part.Shard.Layers}, kv heads {part.Shard.KvHeads}.";
}
