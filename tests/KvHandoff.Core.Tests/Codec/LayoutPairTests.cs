using System.Buffers.Binary;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>Any layout to any layout: every encoded byte and every byte of the receiver's memory against double loops.</summary>
public class LayoutPairTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void What_lands_is_what_the_definitions_say(int part)
    {
        const int Cases = 100;
        for (int seed = part * Cases; seed < (part + 1) * Cases; seed++) Run(LayoutPairCase.Create(seed));
    }

    private static void Run(LayoutPairCase c)
    {
        var random = new Random(c.Seed + 1);
        using LayoutPairCache source = Cache(c.Source, c.Tokens, random), again = Cache(Reordered(c.Source, random), c.Tokens, random), target = Cache(c.Target, c.Tokens, random);
        GroupTransfer transfer = GroupTransfer.Create(c.Source, c.Target), transferAgain = GroupTransfer.Create(again.Group, c.Target);
        string? refusal = SegmentCoder.Refusal(transfer, c.Codec);
        bool plainNarrow = !Scaled(c.Source) && LayoutPairNumbers.SizeBytes(c.Source.ElementType) == 1;
        bool refused = !c.Codec.IsIdentity && (Scaled(c.Source) || plainNarrow || (c.Codec.Id == CodecId.ExponentWindow && c.Source.ElementType != ElementType.BFloat16));
        Assert.True(refused == refusal is not null, $"{c}: {refusal}");
        if (refused) return;

        for (int layer = 0; layer < c.Source.Layers.Length; layer++)
        {
            for (int plane = 0; plane < c.Source.Planes; plane++)
            {
                for (int h = 0; h < c.Heads; h++)
                {
                    (KvPlane p, int from, int to) = ((KvPlane)plane, c.SourceHead + h, c.TargetHead + h);
                    float sourceScale = c.StaticScale(false, c.Source, layer, from, p), targetScale = c.StaticScale(true, c.Target, layer, to, p);
                    foreach (LayoutPairCache side in new[] { source, again }) SetScale(side, layer, from, p, sourceScale);
                    SetScale(target, layer, to, p, targetScale);
                    (int l, int pl) = (layer, plane);
                    LayoutPairRows rows = LayoutPairRows.Store(c.Source.Form(p), c.Source.HasTail, c.Tokens, c.Source.HeadDim, sourceScale, (t, d) => c.Number(l, from, pl, t, d));
                    source.Put(layer, from, p, rows, intoCache: true);
                    again.Put(layer, from, p, rows, intoCache: true);
                    LayoutPairRows landed = Transfer(c, transfer, p, rows, targetScale, out byte[]?[] expected);
                    target.Put(layer, to, p, landed, intoCache: false);
                    CheckPromise(c, transfer, rows, landed);
                    for (int granule = 0; granule < expected.Length; granule++)
                    {
                        byte[] encoded = Encode(c, transfer, source, layer, from, p, granule, rows);
                        if (expected[granule] is { } bytes) Same(bytes, encoded, $"{c} layer {layer} {p} head {from} granule {granule}");
                        Same(encoded, Encode(c, transferAgain, again, layer, from, p, granule, rows), $"{c} from {again.Group} granule {granule}");
                        Assert.True(SegmentCoder.TryDecode(transfer, c.Codec, encoded, target.Sequence.View(layer), to, p, granule, out string? error), $"{c}: {error}");
                    }
                }
            }
        }

        source.Check($"{c} source");
        target.Check($"{c} target");
    }

    /// <summary>What has to be on the wire, granule by granule (null: known only by what it decodes to), and what the receiver then holds.</summary>
    private static LayoutPairRows Transfer(LayoutPairCase c, GroupTransfer transfer, KvPlane plane, LayoutPairRows source, float targetScale, out byte[]?[] encoded)
    {
        StorageForm stored = c.Target.Form(plane);
        encoded = new byte[(c.Tokens + 63) / 64][];
        bool packs = LayoutPairNumbers.SizeBytes(c.Source.ElementType) > 1 && c.Target.KeyScaleKind >= ScaleKind.PerTokenHead;
        if (c.Codec.IsIdentity && (Scaled(c.Source) || packs))
        {
            LayoutPairRows wire = packs ? LayoutPairRows.Store(stored, true, c.Tokens, source.Dim, 1f, source.Number) : source;
            for (int g = 0; g < encoded.Length; g++) encoded[g] = Segment(wire, g);
            bool taken = wire.Form.ElementType == stored.ElementType && wire.Form.ScaleKind == stored.ScaleKind && wire.Form.ScaleType == stored.ScaleType
                && (stored.ScaleKind != ScaleKind.PerChannelTile || stored.TileTokens <= wire.Form.TileTokens)
                && (stored.ScaleKind is not (ScaleKind.PerTensor or ScaleKind.PerHead) || wire.StaticScale == targetScale);
            int targetPacked = c.Target.HasTail ? c.Tokens / stored.TileTokens * stored.TileTokens : c.Tokens;
            return LayoutPairRows.Land(stored, c.Target.HasTail, targetScale, wire, taken ? Math.Min(wire.Packed, targetPacked) : 0);
        }

        Func<int, int, float> landed = source.Number;
        if (c.Codec.IsIdentity)
        {
            for (int g = 0; g < encoded.Length; g++) encoded[g] = Segment(source, g);
        }
        else if (c.Codec.Id != CodecId.ExponentWindow)
        {
            var granules = new LayoutPairRows[encoded.Length];
            for (int g = 0; g < encoded.Length; g++)
            {
                int first = g * 64;
                granules[g] = LayoutPairRows.Store(CodecForm(c.Codec.Id, plane), false, Math.Min(64, c.Tokens - first), source.Dim, 1f, (t, d) => source.Number(first + t, d));
                encoded[g] = Segment(granules[g], 0);
            }

            landed = (t, d) => Rounded(granules[t / 64].Number(t % 64, d), c.Source.ElementType);
        }

        return LayoutPairRows.Store(stored, c.Target.HasTail, c.Tokens, source.Dim, targetScale, landed);
    }

    /// <summary>A plan that does not say lossy keeps every number that both sides store in their form; those of a tail are still to be packed.</summary>
    private static void CheckPromise(LayoutPairCase c, GroupTransfer transfer, LayoutPairRows source, LayoutPairRows landed)
    {
        if (c.Codec.IsLossy || (transfer.Steps & TransferSteps.Lossy) != 0 || source.StaticScale != landed.StaticScale) return;
        for (int t = 0; t < Math.Min(source.Packed, landed.Packed); t++)
            for (int d = 0; d < source.Dim; d++)
                Assert.True(source.Number(t, d).Equals(landed.Number(t, d)), $"{c}: {transfer.Steps} made {landed.Number(t, d)} of {source.Number(t, d)}");
    }

    private static byte[] Encode(LayoutPairCase c, GroupTransfer transfer, LayoutPairCache cache, int layer, int head, KvPlane plane, int granule, LayoutPairRows rows)
    {
        string what = $"{c} from {cache.Group} layer {layer} {plane} head {head} granule {granule}";
        int tokens = Math.Min(64, c.Tokens - granule * 64), most = SegmentCoder.MaxEncodedBytes(transfer, c.Codec, plane, tokens);
        var encoded = new byte[most + 8];
        Array.Fill(encoded, LayoutPairCache.Poison);
        EncodedSegment segment = SegmentCoder.Encode(transfer, c.Codec, cache.Sequence.View(layer), head, plane, granule, default, encoded);
        Assert.True(c.Codec.IsIdentity ? segment.Bytes == most : segment.Bytes > 0 && segment.Bytes <= most, $"{what}: {segment.Bytes} bytes of at most {most}");
        Assert.False(encoded.AsSpan(most..).ContainsAnyExcept(LayoutPairCache.Poison), $"{what}: bytes behind the segment were written");
        Assert.True(LayoutPairNumbers.Crc32C(encoded.AsSpan(0, segment.Bytes)) == segment.Crc32C, $"{what}: CRC-32C");
        CodecFlags flags = Flags(transfer, c.Codec, cache.Group.Form(plane), plane, granule, tokens, rows);
        Assert.True(flags == segment.Flags, $"{what}: flags {segment.Flags}, expected {flags}");
        return encoded[..segment.Bytes];
    }

    private static CodecFlags Flags(GroupTransfer transfer, IKvCodec codec, StorageForm stored, KvPlane plane, int granule, int tokens, LayoutPairRows rows)
    {
        bool packsStored = codec.IsIdentity && transfer.WireIsScaled && transfer.Wire(plane) != stored;
        if (!packsStored && codec.Id is not (CodecId.Fp8E4M3 or CodecId.Int8 or CodecId.MxFp8)) return CodecFlags.None;
        int tile = transfer.Wire(plane).TileTokens, looked = packsStored ? tokens / tile * tile : tokens;
        CodecFlags flags = CodecFlags.None;
        for (int t = 0; t < looked; t++)
        {
            for (int d = 0; d < rows.Dim; d++)
            {
                float x = rows.Number(granule * 64 + t, d);
                flags |= float.IsNaN(x) ? CodecFlags.HadNaN : float.IsInfinity(x) ? CodecFlags.HadInfinity : CodecFlags.None;
            }
        }

        return flags;
    }

    /// <summary>Codes or elements, their scales, then the BF16 rows of the tail.</summary>
    private static byte[] Segment(LayoutPairRows rows, int granule)
    {
        int first = granule * 64, end = Math.Min(first + 64, rows.Tokens), packed = Math.Clamp(rows.Packed, first, end), size = LayoutPairNumbers.SizeBytes(rows.Form.ScaleType);
        var bytes = new List<byte>(rows.Elements[(first * rows.Dim * rows.ElementBytes)..(packed * rows.Dim * rows.ElementBytes)]);
        if (rows.Scales.Length > 0 && packed > first)
        {
            int last = rows.ScaleIndex(packed - 1, rows.Dim - 1) + 1;
            bytes.AddRange(rows.Scales[(rows.ScaleIndex(first, 0) * size)..(last * size)]);
        }

        if (rows.Form.ScaleKind is ScaleKind.PerTensor or ScaleKind.PerHead)
        {
            var scale = new byte[4];
            BinaryPrimitives.WriteSingleLittleEndian(scale, rows.StaticScale);
            bytes.AddRange(size == 4 ? scale : scale[2..]);
        }

        for (int t = packed; t < end; t++)
            for (int d = 0; d < rows.Dim; d++)
                bytes.AddRange(BitConverter.GetBytes(rows.Tail(t, d)));
        return [.. bytes];
    }

    private static StorageForm CodecForm(CodecId id, KvPlane plane) => id switch
    {
        CodecId.Fp8E4M3 => new(ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleType.Float32, 64),
        CodecId.MxFp8 => new(ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleType.E8M0, 64),
        _ => new(ElementType.Int8, plane == KvPlane.Key ? ScaleKind.PerChannelTile : ScaleKind.PerTokenHead, ScaleType.Float32, 64),
    };

    private static float Rounded(float value, ElementType type)
    {
        Span<byte> place = stackalloc byte[4];
        LayoutPairNumbers.Write(place, type, value);
        return LayoutPairNumbers.Read(place, type);
    }

    private static bool Scaled(LayerGroup group) => group.KeyScaleKind != ScaleKind.None || (group.Kind != AttentionKind.Latent && group.ValueScaleKind != ScaleKind.None);

    /// <summary>The same rows in another order and other blocks: of as many tokens only where a tile's scale depends on them.</summary>
    private static LayerGroup Reordered(LayerGroup group, Random random)
    {
        DimensionOrder order = (DimensionOrder)random.Next(1, 4);
        bool stored = group.KeyScaleKind >= ScaleKind.PerTokenHead;
        int block = !stored ? random.Next(1, 257) : group.BlockTokens >= 64 ? 64 << random.Next(3) : group.BlockTokens;
        return group with { Order = order, BlockTokens = block };
    }

    private static LayoutPairCache Cache(LayerGroup group, int tokens, Random random)
    {
        bool canLieApart = group.Order != DimensionOrder.HeadMajor && group.Kind != AttentionKind.Latent && group.KeyScaleKind < ScaleKind.PerTokenHead;
        return new LayoutPairCache(group, tokens, canLieApart && random.Next(2) == 0, random);
    }

    private static void SetScale(LayoutPairCache cache, int layer, int head, KvPlane plane, float scale) => cache.Pool.SetStaticScale(layer, head, plane, scale);

    private static void Same(byte[] expected, byte[] found, string what)
    {
        int at = expected.AsSpan().CommonPrefixLength(found);
        if (at < Math.Max(expected.Length, found.Length))
            Assert.Fail($"{what}: {found.Length} bytes, expected {expected.Length}; byte {at} is {(at < found.Length ? found[at] : -1)}, expected {(at < expected.Length ? expected[at] : -1)}");
    }
}
