using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Prompts;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Model;

namespace KvHandoff.Bench.Kernels;

/// <summary>Where a kernel's rows come from. Never zeros: no kernel here is as fast on rows that no model makes.</summary>
internal enum RowSource
{
    /// <summary>Seeded, with channel outliers.</summary>
    SyntheticKeys,

    /// <summary>Seeded.</summary>
    SyntheticValues,

    /// <summary>What the reference model computes from the shipped texts, layers 2 and up.</summary>
    ReferenceKeys,

    /// <summary>Its values.</summary>
    ReferenceValues,
}

/// <summary>Makes rows: of one head, token after token, then of the next head.</summary>
internal static class KernelRows
{
    /// <summary>First layer whose rows count: those of the first two repeat themselves in a model with a byte vocabulary.</summary>
    internal const int FirstLayer = 2;

    private const ulong Seed = 0x4B45524E;
    private const int SyntheticStreams = 64, WindowTokens = 1024, Windows = 8, GranuleTokens = KvSegment.GranuleTokens, ShiftTokens = 8;

    private static readonly Lazy<(PagedKvCache Cache, KvSequence[] Windows)> Prefilled = new(Prefill);

    internal static void Fill(RowSource source, NativeSlab rows, int headDim)
    {
        if (source is RowSource.SyntheticKeys or RowSource.SyntheticValues) Synthesize(rows, source == RowSource.SyntheticKeys, headDim);
        else Compute(rows, source == RowSource.ReferenceKeys ? KvPlane.Key : KvPlane.Value, headDim);
    }

    private static void Synthesize(NativeSlab slab, bool keys, int headDim)
    {
        int rowBytes = headDim * sizeof(ushort), rows = (int)(slab.LengthBytes / rowBytes);
        int perStream = (rows + SyntheticStreams - 1) / SyntheticStreams;
        Parallel.For(0, SyntheticStreams, s =>
        {
            var stream = new RowStream(Seed, layer: 0, head: s, keys, headDim);
            for (int row = s * perStream; row < Math.Min(rows, (s + 1) * perStream); row++) stream.Next(slab.Span((long)row * rowBytes, rowBytes));
        });
    }

    // The texts give less than is needed: they are read again in windows of other tokens, a few tokens further on each time.
    private static void Compute(NativeSlab slab, KvPlane plane, int headDim)
    {
        PagedKvCache cache = Prefilled.Value.Cache;
        LayerGroup group = cache.Layout.Group(0);
        if (group.HeadDim != headDim) throw new ArgumentException($"The reference model's head dimension is {group.HeadDim}; {headDim} was asked for.", nameof(headDim));
        long at = 0;
        for (int shift = 0; at < slab.LengthBytes; shift = (shift + ShiftTokens) % GranuleTokens) at = CopyWindows(slab, at, Prefilled.Value.Windows, plane, shift);
    }

    // A few seconds of work and 50 MB, which every kernel on these rows shares.
    private static (PagedKvCache Cache, KvSequence[] Windows) Prefill()
    {
        using ReferenceModel model = ReferenceModel.Load();
        int[] text = [.. PromptSet.Shapes.Append(PromptSet.HeldOut).SelectMany(shape => ByteTokenizer.Encode(PromptSet.Load(shape)))];
        PagedKvCache cache = PagedKvCache.Allocate(model.Layout, (long)Windows * WindowTokens);
        KvSequence[] sequences = [.. Enumerable.Range(0, Windows).Select(_ => cache.CreateSequence())];
        for (int w = 0; w < Windows; w++)
        {
            int start = (text.Length - WindowTokens) / (Windows - 1) * w;
            model.Prefill(sequences[w], text[start..(start + WindowTokens)]);
        }

        return (cache, sequences);
    }

    private static long CopyWindows(NativeSlab slab, long at, KvSequence[] sequences, KvPlane plane, int shift)
    {
        foreach (KvSequence sequence in sequences)
        {
            for (int layer = FirstLayer; layer < sequence.Cache.Layout.LayerCount; layer++)
            {
                KvLayerView view = sequence.View(layer);
                for (int head = 0; head < view.Group.KvHeads; head++)
                {
                    int tokens = (view.Tokens - shift) / GranuleTokens * GranuleTokens;
                    for (int token = shift; token < shift + tokens; token++)
                    {
                        if (at + view.Group.RowBytes > slab.LengthBytes) return slab.LengthBytes;
                        view.Row(head, plane, token).CopyTo(slab.Span(at, view.Group.RowBytes));
                        at += view.Group.RowBytes;
                    }
                }
            }
        }

        return at;
    }
}
