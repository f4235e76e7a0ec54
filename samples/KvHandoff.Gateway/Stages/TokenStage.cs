using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Stages;

/// <summary>Appends one token to each sequence of a batch: the same bits for every batch that a sequence is in. For one thread.</summary>
[RunsOn(Phase.Decode)]
internal sealed class TokenStage(LlamaModel model, int threads)
{
    private readonly LlamaRunner _runner = new(model, threads);

    /// <summary>One step.</summary>
    /// <returns><c>[sequence][vocabulary]</c>, valid until the next call.</returns>
    public ReadOnlySpan<float> Step(ReadOnlySpan<KvSequence> sequences, ReadOnlySpan<int> tokens) => _runner.DecodeBatch(sequences, tokens);
}
