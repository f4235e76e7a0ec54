using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Wire;

/// <summary>Shards, and the part of a model that a worker's cache is, as bytes. Whether a shard fits a layout is not checked here.</summary>
internal static class ShardCodec
{
    private const int FixedBytes = 6 * sizeof(int) + 1, RangeBytes = 2 * sizeof(int);

    internal static void Write(in KvShard shard, IBufferWriter<byte> output)
    {
        ReadOnlySpan<IndexRange> heads = ArrayValue.Span(shard.GroupHeads);
        Span<byte> bytes = output.GetSpan(FixedBytes + heads.Length * RangeBytes);
        WriteRange(bytes, shard.Layers);
        WriteRange(bytes[RangeBytes..], shard.KvHeads);
        WriteRange(bytes[(2 * RangeBytes)..], shard.Tokens);
        bytes[3 * RangeBytes] = (byte)heads.Length;
        for (int i = 0; i < heads.Length; i++) WriteRange(bytes[(FixedBytes + i * RangeBytes)..], heads[i]);
        output.Advance(FixedBytes + heads.Length * RangeBytes);
    }

    /// <summary>Reads a shard from the head of <paramref name="source"/> and moves on behind it; null when its numbers are not negative.</summary>
    internal static WireError? TryRead(ref ReadOnlySpan<byte> source, out KvShard shard)
    {
        shard = default;
        if (source.Length < FixedBytes) return WireError.Truncated("A shard", source.Length, FixedBytes);
        int groups = source[3 * RangeBytes], bytes = FixedBytes + groups * RangeBytes;
        if (groups > KvCacheLayout.MaxGroups) return WireError.Value("A shard's number of layer groups", groups, $"0 to {KvCacheLayout.MaxGroups}");
        if (source.Length < bytes) return WireError.Truncated("A shard", source.Length, bytes);
        shard = new KvShard(ReadRange(source), ReadRange(source[RangeBytes..]), ReadRange(source[(2 * RangeBytes)..]));
        if (groups > 0)
        {
            var heads = ImmutableArray.CreateBuilder<IndexRange>(groups);
            for (int i = 0; i < groups; i++) heads.Add(ReadRange(source[(FixedBytes + i * RangeBytes)..]));
            shard = shard with { GroupHeads = heads.MoveToImmutable() };
        }

        source = source[bytes..];
        return Bad(shard.Layers) ?? Bad(shard.KvHeads) ?? Bad(shard.Tokens);
    }

    internal static ByteValue Write(CachePart part)
    {
        var layout = new ArrayBufferWriter<byte>();
        LayoutCodec.Write(part.Whole, layout);
        var output = new ArrayBufferWriter<byte>();
        Write(part.Shard, output);
        output.Write(layout.WrittenSpan);
        return output.WrittenSpan.ToArray();
    }

    internal static WireError? TryRead(ReadOnlySpan<byte> source, out CachePart? part)
    {
        part = null;
        if (TryRead(ref source, out KvShard shard) is { } error) return error;
        if (LayoutCodec.TryRead(source, out KvCacheLayout? whole) is { } layoutError) return layoutError;
        var read = new CachePart(whole!, shard);
        if (read.Check() is { } wrong) return new WireError(WireErrorCode.BadValue, wrong);
        part = read;
        return null;
    }

    private static WireError? Bad(IndexRange range) =>
        range.Start < 0 || range.Count < 0 || range.Start > int.MaxValue - range.Count ? WireError.Value("A range of a shard", $"{range.Start}+{range.Count}", "numbers that are not negative") : null;

    private static void WriteRange(Span<byte> destination, IndexRange range)
    {
        BinaryPrimitives.WriteInt32LittleEndian(destination, range.Start);
        BinaryPrimitives.WriteInt32LittleEndian(destination[sizeof(int)..], range.Count);
    }

    private static IndexRange ReadRange(ReadOnlySpan<byte> source) =>
        new(BinaryPrimitives.ReadInt32LittleEndian(source), BinaryPrimitives.ReadInt32LittleEndian(source[sizeof(int)..]));
}
