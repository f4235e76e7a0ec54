using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Stages;

/// <summary>
/// Writes the prompt's rows again where a sequence had made room: the way back for a decode worker that has nobody to hand it to. The rows
/// are those of the prefill worker, bit by bit; what was generated is replayed through <see cref="TokenStage"/>. For one thread.
/// </summary>
[RunsOn(Phase.Decode)]
internal sealed class ReplayStage(LlamaModel model, int threads)
{
    private readonly LlamaRunner _runner = new(model, threads);

    /// <summary>Appends a chunk of the prompt.</summary>
    public void Run(KvSequence sequence, ReadOnlySpan<int> tokens) => _runner.Prefill(sequence, tokens);
}
