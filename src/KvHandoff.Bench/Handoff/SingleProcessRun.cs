using System.Diagnostics;
using KvHandoff.Layout;

namespace KvHandoff.Bench.Handoff;

/// <summary>Prefill and decode in this process, without any transfer: what the two-process run has to equal.</summary>
/// <param name="Generated">The tokens.</param>
/// <param name="PrefillSeconds">Of the prompt.</param>
/// <param name="SecondsPerToken">Mean over the tokens after the first.</param>
internal sealed record SingleProcessRun(Generation Generated, double PrefillSeconds, double SecondsPerToken)
{
    internal static SingleProcessRun Generate(ReferenceModel model, PagedKvCache cache, int[] prompt, int completionTokens)
    {
        using KvSequence sequence = cache.CreateSequence();
        long started = Stopwatch.GetTimestamp();
        int first = model.Prefill(sequence, prompt);
        long prefilled = Stopwatch.GetTimestamp();
        Generation generation = model.Generate(sequence, first, completionTokens);
        double decode = Stopwatch.GetElapsedTime(prefilled, generation.LastTokenAt).TotalSeconds;
        return new SingleProcessRun(generation, Stopwatch.GetElapsedTime(started, prefilled).TotalSeconds, decode / Math.Max(1, completionTokens - 1));
    }

    internal static Generation Read(ReferenceModel model, PagedKvCache cache, int[] prefix, int[] continuation)
    {
        using KvSequence sequence = cache.CreateSequence();
        model.Prefill(sequence, prefix);
        return model.ReadContinuation(sequence, continuation);
    }
}
