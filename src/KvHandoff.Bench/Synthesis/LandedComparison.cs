using KvHandoff.Codec;
using KvHandoff.Layout;

namespace KvHandoff.Bench.Synthesis;

/// <summary>What a comparison of a landed cache with its seed found.</summary>
/// <param name="BytesCompared">Row bytes compared.</param>
/// <param name="DifferentBytes">Row bytes that differ; 0 when all is well.</param>
/// <param name="TailBytesChecked">Bytes behind the last token that had to keep their poison.</param>
/// <param name="TailBytesChanged">How many of them did not.</param>
/// <param name="FirstDifference">Where the first one is, in words; empty when there is none.</param>
internal sealed record ComparisonResult(long BytesCompared, long DifferentBytes, long TailBytesChecked, long TailBytesChanged, string FirstDifference)
{
    internal bool IsEqual => DifferentBytes == 0 && TailBytesChanged == 0;
}

/// <summary>
/// Compares every byte of a landed sequence with what the seed gives, and the unused end of its last block with the poison. A lossy
/// codec is applied to the expected rows first, segment by segment, as the sender did.
/// </summary>
internal static class LandedComparison
{
    internal static ComparisonResult Compare(CacheSynthesizer expected, KvSequence landed, int tokens, IKvCodec codec, byte poison, bool tailIsPoisoned = true)
    {
        long compared = 0, different = 0, tail = 0, tailChanged = 0;
        string first = "";
        var gate = new Lock();
        Parallel.ForEach(expected.Streams(), id =>
        {
            (long Compared, long Different, long Tail, long TailChanged, string First) part = CompareStream(expected, id, landed, tokens, codec, tailIsPoisoned ? poison : null);
            lock (gate)
            {
                compared += part.Compared;
                different += part.Different;
                tail += part.Tail;
                tailChanged += part.TailChanged;
                if (first.Length == 0) first = part.First;
            }
        });
        return new ComparisonResult(compared, different, tail, tailChanged, first);
    }

    private static (long, long, long, long, string) CompareStream(CacheSynthesizer expected, RowStreamId id, KvSequence landed, int tokens, IKvCodec codec, byte? poison)
    {
        KvLayerView view = landed.View(id.Layer, tokens);
        LayerGroup group = view.Group;
        int rowBytes = group.RowBytes;
        RowStream stream = expected.Open(id);
        var rows = new byte[KvSegment.GranuleTokens * rowBytes];
        byte[] encoded = codec.IsIdentity ? [] : new byte[codec.MaxEncodedBytes(new SegmentShape(KvSegment.GranuleTokens, group.HeadDim, group.ElementType, id.Plane))];
        long compared = 0, different = 0;
        string first = "";
        for (int granule = 0; granule < KvSegment.GranuleCount(tokens); granule++)
        {
            int count = KvSegment.TokensIn(granule, tokens);
            Span<byte> wanted = rows.AsSpan(0, count * rowBytes);
            for (int t = 0; t < count; t++) stream.Next(wanted.Slice(t * rowBytes, rowBytes));
            if (!codec.IsIdentity) PassThrough(codec, new SegmentShape(count, group.HeadDim, group.ElementType, id.Plane), wanted, encoded);
            for (int t = 0; t < count; t++)
            {
                int token = granule * KvSegment.GranuleTokens + t;
                ReadOnlySpan<byte> want = wanted.Slice(t * rowBytes, rowBytes), have = view.Row(id.Head, id.Plane, token);
                compared += rowBytes;
                if (have.SequenceEqual(want)) continue;
                for (int b = 0; b < rowBytes; b++)
                {
                    if (have[b] == want[b]) continue;
                    different++;
                    if (first.Length == 0) first = $"layer {id.Layer}, head {id.Head}, {id.Plane}, token {token}, byte {b}: expected 0x{want[b]:x2}, found 0x{have[b]:x2}";
                }
            }
        }

        (long tail, long changed) = poison is { } value ? CompareTail(view, id, tokens, value, ref first) : (0, 0);
        return (compared, different, tail, changed, first);
    }

    private static void PassThrough(IKvCodec codec, in SegmentShape shape, Span<byte> rows, byte[] encoded)
    {
        int length = codec.Encode(shape, rows, encoded, out _);
        if (!codec.TryDecode(shape, encoded.AsSpan(0, length), rows, out string? error)) throw new InvalidDataException(error);
    }

    private static (long Checked, long Changed) CompareTail(in KvLayerView view, RowStreamId id, int tokens, byte poison, ref string first)
    {
        int blockTokens = view.Geometry.BlockTokens;
        int used = tokens % blockTokens;
        if (used == 0) return (0, 0);
        long looked = 0, changed = 0;
        Span<byte> block = view.Plane(view.BlockCount - 1, id.Plane);
        for (int t = used; t < blockTokens; t++)
        {
            Span<byte> row = block.Slice(view.Geometry.Plane(id.Plane).RowOffset(id.Head, t), view.Geometry.RowBytes);
            looked += row.Length;
            int at = row.IndexOfAnyExcept(poison);
            if (at < 0) continue;
            changed += row.Length - row.Count(poison);
            if (first.Length == 0) first = $"layer {id.Layer}, head {id.Head}, {id.Plane}, unused token {t} of the last block, byte {at}: expected poison 0x{poison:x2}, found 0x{row[at]:x2}";
        }

        return (looked, changed);
    }
}
