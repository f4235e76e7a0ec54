using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Stages;

/// <summary>Reads a prompt in chunks of any size and writes its cache: the same bits for every division into chunks. For one thread.</summary>
[RunsOn(Phase.Prefill)]
internal sealed class PromptStage(LlamaModel model, int threads)
{
    private readonly LlamaRunner _runner = new(model, threads);

    /// <summary>Appends a chunk; <paramref name="layerCompleted"/> hears of each layer whose rows are written.</summary>
    /// <returns>The logits after the chunk, valid until the next call.</returns>
    public ReadOnlySpan<float> Run(KvSequence sequence, ReadOnlySpan<int> tokens, Action<int>? layerCompleted = null) => _runner.Prefill(sequence, tokens, layerCompleted);
}
