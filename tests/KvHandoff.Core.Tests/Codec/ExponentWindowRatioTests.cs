using System.Text;
using KvHandoff.Codec;
using KvHandoff.Core.Tests.Model;
using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>What the codec saves on keys and values that a trained model has computed.</summary>
public sealed class ExponentWindowRatioTests
{
    private const double LeastRatio = 1.38;
    private const int FirstLayer = 2;
    private const int Granule = ExponentWindow.MaxTokens;

    [Fact]
    public void The_reference_models_cache_shrinks_as_promised()
    {
        using LlamaModel model = LlamaModel.Load(RepositoryPaths.ReferenceModel);
        KvCacheLayout layout = model.CreateLayout(ElementType.BFloat16);
        using PagedKvCache cache = PagedKvCache.Allocate(layout, 4096);
        using KvSequence sequence = cache.CreateSequence();
        string text = File.ReadAllText(Path.Combine(RepositoryPaths.Root, "models", "prompts", "held-out.txt"));
        int[] tokens = [.. Encoding.UTF8.GetBytes(text).Take(256).Select(b => (int)b)];
        new LlamaRunner(model, 2).Prefill(sequence, tokens);
        foreach (KvPlane plane in (KvPlane[])[KvPlane.Key, KvPlane.Value])
        {
            (long raw, long encoded) = (0, 0);
            for (int layer = FirstLayer; layer < layout.LayerCount; layer++)
            {
                KvLayerView view = sequence.View(layer);
                for (int head = 0; head < view.Group.KvHeads; head++)
                {
                    (long rawHead, long encodedHead) = EncodeHead(view, head, plane, tokens.Length);
                    raw += rawHead;
                    encoded += encodedHead;
                }
            }

            Assert.True((double)raw / encoded >= LeastRatio, $"{plane}: {raw} bytes became {encoded}: {(double)raw / encoded:F4}; expected at least {LeastRatio}.");
        }
    }

    private static (long Raw, long Encoded) EncodeHead(KvLayerView view, int head, KvPlane plane, int tokens)
    {
        int rowBytes = view.Geometry.RowBytes, dim = rowBytes / sizeof(ushort);
        var history = new byte[ExponentWindow.HistoryBytes(dim)];
        var rows = new byte[Granule * rowBytes];
        var encoded = new byte[ExponentWindow.MaxEncodedBytes(Granule, dim)];
        (long raw, long total) = (0, 0);
        for (int first = 0; first + Granule <= tokens; first += Granule)
        {
            for (int t = 0; t < Granule; t++) view.Row(head, plane, first + t).CopyTo(rows.AsSpan(t * rowBytes));
            int bytes = ExponentWindow.Encode(rows, rowBytes, Granule, dim, history, encoded);
            Assert.Equal(rows, ExponentWindowSamples.Decode(encoded.AsSpan(0, bytes), Granule, dim));
            raw += rows.Length;
            total += bytes;
        }

        return (raw, total);
    }
}
