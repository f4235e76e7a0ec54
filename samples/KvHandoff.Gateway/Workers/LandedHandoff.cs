using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Workers;

/// <summary>A committed sequence that waits for its request.</summary>
/// <param name="Cache">Whose blocks it has.</param>
/// <param name="Sequence">Its rows.</param>
/// <param name="State">Its tokens.</param>
/// <param name="Incoming">The handoff; told of the first step.</param>
internal sealed record LandedHandoff(WorkerCache Cache, KvSequence Sequence, SequenceState State, IncomingHandoff Incoming)
{
    /// <summary>Gives the blocks back.</summary>
    public void Drop() => Cache.End(Sequence);
}
