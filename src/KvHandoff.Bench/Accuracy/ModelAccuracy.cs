using System.Collections.Concurrent;
using KvHandoff.Bench.Reports;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Bench.Accuracy;

/// <summary>
/// One model's prefixes in a BF16 cache, and what it predicts after them: handed over in some form, the same prefixes give other
/// predictions, and how far those are off is the form's cost.
/// </summary>
internal sealed class ModelAccuracy : IDisposable
{
    private readonly LlamaModel _model;
    private readonly TextWindows _windows;
    private readonly PagedKvCache _source;
    private readonly KvSequence[] _prefixes;
    private readonly StaticScales _scales;
    private readonly Predictions[] _reference;
    private readonly ConcurrentBag<LlamaRunner> _runners = [];

    internal ModelAccuracy(LlamaModel model, TextWindows windows, CancellationToken cancellationToken)
    {
        _model = model;
        _windows = windows;
        _source = PagedKvCache.Allocate(model.CreateLayout(), (long)windows.Count * TextWindows.PrefixTokens);
        _prefixes = Prefill(_source, cancellationToken);
        _scales = new StaticScales(_prefixes);
        // The same prefixes once more, in a cache of their own: predictions without any handoff.
        using PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(), CapacityTokens);
        _reference = DecodeAll(Prefill(cache, cancellationToken), cancellationToken);
    }

    /// <summary>Of the true tokens, without any handoff.</summary>
    internal double Perplexity => Math.Exp(_reference.Sum(r => r.NegativeLogLikelihood) / _windows.Predictions);

    private long CapacityTokens => (long)_windows.Count * (TextWindows.PrefixTokens + TextWindows.DecodedTokens);

    /// <summary>Hands every prefix over in this form and decodes on what landed.</summary>
    internal async Task<(AccuracyFigures Figures, double WireShare)> MeasureAsync(AccuracyForm form, CancellationToken cancellationToken)
    {
        KvCacheLayout bf16 = _source.Layout;
        var layout = new KvCacheLayout(bf16.Model, [form.Store(bf16.Groups[0])]);
        using PagedKvCache target = PagedKvCache.Allocate(layout, CapacityTokens, sequences: _windows.Count);
        _scales.Apply(target);
        var landed = new KvSequence[_windows.Count];
        long wire;
        await using (LoopbackHandoff handoff = await LoopbackHandoff.ConnectAsync(_source, target, form.Codec, cancellationToken))
        {
            for (int w = 0; w < landed.Length; w++) landed[w] = await handoff.HandOverAsync(_prefixes[w], cancellationToken);
            wire = handoff.WireBytes;
        }

        Predictions[] predictions = await Task.Run(() => DecodeAll(landed, cancellationToken), cancellationToken);
        double divergence = 0, nats = 0;
        int same = 0;
        for (int w = 0; w < predictions.Length; w++)
        {
            (double kl, int top) = _reference[w].Compare(predictions[w], _model.Config.VocabularySize);
            divergence += kl;
            same += top;
            nats += predictions[w].NegativeLogLikelihood - _reference[w].NegativeLogLikelihood;
        }

        int total = _windows.Predictions;
        var figures = new AccuracyFigures
        {
            MeanKl = divergence / total,
            Top1Agreement = (double)same / total,
            PerplexityChangePercent = (Math.Exp(nats / total) - 1) * 100,
        };
        return (figures, wire / (double)bf16.BytesForTokens((long)_windows.Count * TextWindows.PrefixTokens));
    }

    /// <summary>Largest difference of any logit between two models on one window, with fp32 caches.</summary>
    internal static double LogitDifference(LlamaModel one, LlamaModel other, TextWindows windows)
    {
        double largest = 0;
        var logits = new List<float[]>();
        foreach (LlamaModel model in new[] { one, other })
        {
            using PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(Numerics.ElementType.Float32), TextWindows.PrefixTokens);
            using KvSequence sequence = cache.CreateSequence();
            bool first = model == one;
            new LlamaRunner(model).Score(sequence, windows.Prefix(0), (index, row) =>
            {
                if (first) logits.Add(row.ToArray());
                else
                {
                    for (int i = 0; i < row.Length; i++) largest = Math.Max(largest, Math.Abs(row[i] - logits[index][i]));
                }
            });
        }

        return largest;
    }

    public void Dispose()
    {
        foreach (KvSequence prefix in _prefixes) prefix.Dispose();
        _source.Dispose();
    }

    private KvSequence[] Prefill(PagedKvCache cache, CancellationToken cancellationToken)
    {
        var runner = new LlamaRunner(_model);
        var sequences = new KvSequence[_windows.Count];
        for (int w = 0; w < sequences.Length; w++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            sequences[w] = cache.CreateSequence();
            runner.Prefill(sequences[w], _windows.Prefix(w));
        }

        return sequences;
    }

    private Predictions[] DecodeAll(KvSequence[] sequences, CancellationToken cancellationToken)
    {
        var predictions = new Predictions[sequences.Length];
        var options = new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellationToken };
        Parallel.For(0, sequences.Length, options, w =>
        {
            if (!_runners.TryTake(out LlamaRunner? runner)) runner = new LlamaRunner(_model, threads: 1);
            predictions[w] = Predictions.Decode(runner, sequences[w], _windows.Continuation(w));
            sequences[w].Dispose();
            _runners.Add(runner);
        });
        return predictions;
    }
}
