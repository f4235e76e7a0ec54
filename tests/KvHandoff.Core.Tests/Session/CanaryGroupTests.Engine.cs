using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Session;

// What the engine's attention gave, and how the rows go wrong after it.
public sealed partial class CanaryGroupTests
{
    // Softmax attention in double over the whole sequence's rows, for queries that spread their weight over a few tokens.
    private static CanarySet Engine(ShardFixture f, Guid id, int perHead = 1)
    {
        KvCacheLayout layout = f.SourceLayout;
        int heads = layout.Groups[0].KvHeads, dim = layout.Groups[0].HeadDim;
        var random = new Random(5);
        var pairs = ImmutableArray.CreateBuilder<CanaryPair>();
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            for (int head = 0; head < heads * perHead; head++)
            {
                float[] keys = Rows(f.Whole, layer, head / perHead, KvPlane.Key, dim), values = Rows(f.Whole, layer, head / perHead, KvPlane.Value, dim);
                float[] query = [.. Enumerable.Range(0, dim).Select(_ => (float)(random.NextDouble() * 2 - 1))];
                var output = new double[dim];
                double sum = 0;
                for (int token = 0; token < Tokens; token++)
                {
                    double logit = 0;
                    for (int d = 0; d < dim; d++) logit += (double)query[d] * keys[token * dim + d];
                    double weight = Math.Exp(logit / Math.Sqrt(dim));
                    sum += weight;
                    for (int d = 0; d < dim; d++) output[d] += weight * values[token * dim + d];
                }

                pairs.Add(new CanaryPair(layer, head, query, (float[])[.. output.Select(x => (float)(x / sum))]));
            }
        }

        return new CanarySet { Pairs = pairs.ToImmutable(), QueryHeads = heads * perHead, Tokens = Tokens };
    }

    private static float[] Rows(KvSequence sequence, int layer, int head, KvPlane plane, int dim)
    {
        var rows = new float[Tokens * dim];
        StoredRows.Unpack(sequence.View(layer), head, plane, 0, new RowRuns(MemoryMarshal.AsBytes(rows.AsSpan()), dim * sizeof(float)), ElementType.Float32);
        return rows;
    }

    /// <summary>Layer 1 goes wrong at every sender, in the tokens of one part alone.</summary>
    private static void Spoil(ShardFixture f, Damage damage, int part, int parts)
    {
        KvShard spoiled = KvShard.Whole(f.SourceLayout, Tokens).ContextParallel(part, parts);
        for (int s = 0; s < f.Sources.Length; s++)
        {
            KvLayerView view = f.SourceSequences[s].View(1);
            int first = Math.Max(spoiled.Tokens.Start - f.Sources[s].Tokens.Start, 0), end = Math.Min(spoiled.Tokens.End - f.Sources[s].Tokens.Start, view.Tokens);
            for (int token = first; token < end; token++)
            {
                if (damage == Damage.HeadsSwapped) Swap(view.Row(0, KvPlane.Key, token), view.Row(1, KvPlane.Key, token));
                if (damage == Damage.TokensPermuted && token - first < end - 1 - token) Swap(view.Row(0, KvPlane.Key, token), view.Row(0, KvPlane.Key, end - 1 - (token - first)));
                if (damage == Damage.ScaleWrong) Scale(view, 0, KvPlane.Value, token);
            }
        }
    }

    private static void Swap(Span<byte> a, Span<byte> b)
    {
        byte[] kept = a.ToArray();
        b.CopyTo(a);
        kept.CopyTo(b);
    }

    private static void Scale(in KvLayerView view, int head, KvPlane plane, int token)
    {
        foreach (ref BFloat16 x in MemoryMarshal.Cast<byte, BFloat16>(view.Row(head, plane, token))) x = (BFloat16)(4 * (float)x);
    }
}
