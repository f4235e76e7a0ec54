using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Bench.Handoff;

/// <summary>Tokens that came out of a cache. Times are monotonic clock ticks; the second token is the first one computed from the cache.</summary>
/// <param name="Tokens">Generated tokens, the first sampled one included; or the most probable token after each one of a given continuation.</param>
/// <param name="NegativeLogLikelihood">Of a given continuation, in nats; 0 when tokens were generated.</param>
internal readonly record struct Generation(int[] Tokens, double NegativeLogLikelihood, long SecondTokenAt, long LastTokenAt);

/// <summary>The shipped byte-level model, as both workers and the single-process run use it.</summary>
internal sealed class ReferenceModel : IDisposable
{
    /// <summary>Its name on the command line.</summary>
    internal const string Name = "reference";

    /// <summary>Its name in results.</summary>
    internal const string FullName = "llama-bytes-5m";

    private readonly LlamaModel _model;
    private readonly LlamaRunner _runner;

    private ReferenceModel(LlamaModel model)
    {
        _model = model;
        _runner = new LlamaRunner(model);
        Layout = model.CreateLayout();
    }

    internal KvCacheLayout Layout { get; }

    /// <summary>Prompt tokens that this process has computed; a decode process has to stay at 0.</summary>
    internal long PrefilledTokens => _runner.PrefilledTokens;

    internal static ReferenceModel Load() => new(LlamaModel.Load(Path.Combine(AppContext.BaseDirectory, "models", FullName)));

    /// <summary>Computes the prompt's cache and returns the first sampled token.</summary>
    internal int Prefill(KvSequence sequence, int[] prompt, Action<int>? layerCompleted = null) =>
        GreedySampler.Sample(_runner.Prefill(sequence, prompt, layerCompleted));

    /// <summary>Greedy decoding from a cache that holds the prompt: <paramref name="first"/> and what follows, <paramref name="count"/> tokens in all.</summary>
    internal Generation Generate(KvSequence sequence, int first, int count)
    {
        var tokens = new int[count];
        tokens[0] = first;
        long second = 0, last = Stopwatch.GetTimestamp();
        for (int i = 1; i < count; i++)
        {
            tokens[i] = GreedySampler.Sample(_runner.Decode(sequence, tokens[i - 1]));
            last = Stopwatch.GetTimestamp();
            if (i == 1) second = last;
        }

        return new Generation(tokens, 0, second, last);
    }

    /// <summary>Reads a given text against a cache: its likelihood, and which token the model would have put after each of its tokens.</summary>
    internal Generation ReadContinuation(KvSequence sequence, int[] continuation)
    {
        var guesses = new int[continuation.Length - 1];
        double nats = 0;
        long second = 0, last = 0;
        for (int i = 0; i < guesses.Length; i++)
        {
            ReadOnlySpan<float> logits = _runner.Decode(sequence, continuation[i]);
            guesses[i] = GreedySampler.Sample(logits);
            nats -= LlamaRunner.LogProbability(logits, continuation[i + 1]);
            last = Stopwatch.GetTimestamp();
            if (i == 0) second = last;
        }

        return new Generation(guesses, nats, second, last);
    }

    public void Dispose() => _model.Dispose();
}
