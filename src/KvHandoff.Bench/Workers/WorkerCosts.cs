using System.Text.Json;
using KvHandoff.Session;

namespace KvHandoff.Bench.Workers;

/// <summary>Turns a handoff's cost into lines of a result, and puts the two sides together.</summary>
internal static class WorkerCosts
{
    internal static WorkerCost From(HandoffCost cost) => new(cost.KvBytes, cost.WireBytes, cost.BytesCopied, cost.Elapsed.TotalSeconds,
        Enum.GetValues<HandoffPhase>().ToDictionary(NameOf, phase => cost[phase].TotalSeconds));

    /// <summary>Both sides' phases in one table. Each phase belongs to one side; where both report it, the larger is kept.</summary>
    internal static Dictionary<string, double> Merge(WorkerCost sender, WorkerCost receiver) =>
        Enum.GetValues<HandoffPhase>().Select(NameOf).ToDictionary(name => name,
            name => Math.Max(sender.Phases.GetValueOrDefault(name), receiver.Phases.GetValueOrDefault(name)));

    private static string NameOf(HandoffPhase phase) => JsonNamingPolicy.SnakeCaseLower.ConvertName(phase.ToString());
}
