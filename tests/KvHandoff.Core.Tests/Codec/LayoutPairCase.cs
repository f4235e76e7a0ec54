using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>A random pair of layouts and what travels between them.</summary>
internal sealed record LayoutPairCase(int Seed, LayerGroup Source, LayerGroup Target, int SourceHead, int TargetHead, int Heads, int Tokens, IKvCodec Codec, bool Specials)
{
    private static readonly int[] Blocks = [1, 2, 4, 8, 16, 32, 64, 128, 256], OddBlocks = [3, 7, 24, 48, 100, 129];
    private static readonly int[] Dims = [1, 3, 8, 16, 17, 31, 32, 33, 40, 48, 64, 80, 128];
    private static readonly ElementType[] Wide = [ElementType.BFloat16, ElementType.Float16, ElementType.Float32];

    public static LayoutPairCase Create(int seed)
    {
        var random = new Random(seed);
        bool latent = random.Next(8) == 0;
        int dim = Dims[random.Next(Dims.Length)], heads = latent ? 1 : random.Next(1, 4);
        int sourceHeads = latent ? 1 : heads + random.Next(3), targetHeads = latent ? 1 : heads + random.Next(3), layers = random.Next(1, 3);
        LayerGroup source = Side(random, latent, layers, sourceHeads, dim), target = Side(random, latent, layers, targetHeads, dim);
        IKvCodec[] codecs = [.. KvCodecs.All.Where(c => c.Id != CodecId.Lz4)];
        IKvCodec codec = random.Next(2) == 0 ? KvCodecs.Raw : codecs[random.Next(codecs.Length)];
        int tokens = random.Next(3) == 0 ? random.Next(1, 20) : random.Next(1, 301);
        return new LayoutPairCase(seed, source, target, random.Next(sourceHeads - heads + 1), random.Next(targetHeads - heads + 1), heads, tokens, codec, random.Next(5) == 0);
    }

    public static LayerGroup Side(Random random, bool latent, int layers, int heads, int dim)
    {
        ElementType type = random.Next(2) == 0 ? Wide[random.Next(3)] : (ElementType)random.Next(4, 7);
        ScaleKind keys = ScaleKind.None, values = ScaleKind.None;
        if (type is not (ElementType.BFloat16 or ElementType.Float16 or ElementType.Float32))
        {
            // Both planes keep their scales in the blocks, or neither does.
            (ScaleKind Keys, ScaleKind Values)[] kinds =
            [
                (ScaleKind.PerTensor, ScaleKind.PerTensor), (ScaleKind.PerHead, ScaleKind.PerHead), (ScaleKind.PerHead, ScaleKind.PerTensor),
                (ScaleKind.PerTokenHead, ScaleKind.PerTokenHead), (ScaleKind.PerChannelTile, ScaleKind.PerTokenHead),
                (ScaleKind.PerChannelTile, ScaleKind.PerChannelTile), (ScaleKind.PerTokenHead, ScaleKind.PerChannelTile),
                (ScaleKind.PerGroup32, ScaleKind.PerGroup32), (ScaleKind.None, ScaleKind.None), (ScaleKind.None, ScaleKind.PerHead), (ScaleKind.PerTensor, ScaleKind.None),
            ];
            (keys, values) = kinds[random.Next(type == ElementType.Int8 ? 7 : kinds.Length)];
        }

        bool stored = keys >= ScaleKind.PerTokenHead;
        DimensionOrder order = (DimensionOrder)random.Next(1, 6);
        if (order == DimensionOrder.PackedKey && dim * LayoutPairNumbers.SizeBytes(type) % 16 != 0) order = DimensionOrder.TransposedKey;
        return new LayerGroup
        {
            Kind = latent ? AttentionKind.Latent : AttentionKind.Full,
            Layers = [.. Enumerable.Range(0, layers)],
            KvHeads = heads,
            HeadDim = dim,
            ElementType = type,
            KeyScaleKind = keys,
            ValueScaleKind = values,
            ScaleType = keys == ScaleKind.PerGroup32 ? ScaleType.E8M0 : keys != ScaleKind.None && random.Next(3) == 0 ? ScaleType.BFloat16 : ScaleType.Float32,
            Order = order,
            BlockTokens = !stored && random.Next(4) == 0 ? OddBlocks[random.Next(OddBlocks.Length)] : Blocks[random.Next(Blocks.Length)],
        };
    }

    /// <summary>A number of the prompt: channels of different sizes, a few zeros, and, where asked for, what is not finite.</summary>
    public float Number(int layer, int head, int plane, int token, int dim)
    {
        uint mixed = (uint)HashCodeOf(Seed, layer, head, plane, token, dim);
        if (mixed % 97 == 0) return 0f;
        if (Specials && mixed % 61 == 0)
            return (mixed / 61 % 6) switch { 0 => float.PositiveInfinity, 1 => float.NegativeInfinity, 2 => float.NaN, 3 => -0f, 4 => 1e-39f, _ => 3e38f };
        double channel = Math.ScaleB(1, HashCodeOf(Seed, plane, dim) % 7 - 3), uniform = mixed / (double)uint.MaxValue * 2 - 1;
        return (float)(uniform * uniform * uniform * 8 * channel);
    }

    public float StaticScale(bool target, LayerGroup group, int layer, int head, KvPlane plane)
    {
        ScaleKind kind = plane == KvPlane.Key ? group.KeyScaleKind : group.ValueScaleKind;
        if (kind is not (ScaleKind.PerTensor or ScaleKind.PerHead)) return 1f;
        // Half of the pairs have the same scales on both sides: then codes are taken as they are. All are exact in BF16.
        int of = kind == ScaleKind.PerHead ? head - (target ? TargetHead : SourceHead) : 0, side = Seed % 2 == 0 || !target ? 0 : 1;
        return (1 + (HashCodeOf(Seed, layer, of, (int)plane, side) & 63) / 64f) / 16f;
    }

    private static int HashCodeOf(params ReadOnlySpan<int> parts)
    {
        ulong hash = 0x9E37_79B9_7F4A_7C15;
        foreach (int part in parts)
        {
            hash = (hash ^ (uint)part) * 0xBF58_476D_1CE4_E5B9;
            hash ^= hash >> 29;
        }

        return (int)(hash >> 33);
    }
}
