using System.Collections.Immutable;
using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>What the receiver that commits for a group has heard of it so far. Not thread-safe: its owner's gate guards it.</summary>
internal sealed class GroupCommitTally
{
    private readonly HashSet<int> _prepared = [];
    private readonly Dictionary<int, ImmutableArray<CanaryPartial>[]> _states = [];

    /// <summary>Connections of members that wait for the decision.</summary>
    internal HashSet<ControlChannel> Members { get; } = [];

    /// <summary>Bytes of canary states that members have reported.</summary>
    internal long StateBytes { get; private set; }

    /// <summary>Why the group is aborted, where this side decided so.</summary>
    internal AbortReason Reason { get; set; } = AbortReason.Cancelled;

    internal bool IsPrepared(int target) => _prepared.Contains(target);

    /// <summary>This receiver's own part is complete.</summary>
    internal void Add(int target, ImmutableArray<CanaryPartial> states)
    {
        _prepared.Add(target);
        _states[target] = [states];
    }

    /// <summary>A member's part is complete, as soon as all messages of its canary states are here.</summary>
    /// <returns>What is wrong with them, or null.</returns>
    internal string? Add(Prepared prepared)
    {
        if (!prepared.CanaryStates.IsEmpty)
        {
            if (CanaryPartialCodec.TryRead(prepared.CanaryStates.Span, out int number, out int messages, out ImmutableArray<CanaryPartial> partials) is { } wrong) return wrong;
            if (!_states.TryGetValue(prepared.Target, out ImmutableArray<CanaryPartial>[]? parts)) parts = _states[prepared.Target] = new ImmutableArray<CanaryPartial>[messages];
            if (parts.Length != messages) return $"The canary states are of {messages} messages; another message said {parts.Length}.";
            // After a break all are told again.
            if (parts[number].IsDefault) StateBytes += prepared.CanaryStates.Length;
            parts[number] = partials;
            if (Array.Exists(parts, p => p.IsDefault)) return null;
        }

        _prepared.Add(prepared.Target);
        return null;
    }

    /// <summary>All states in order of members, with the tokens that each member holds; members that the group does not have are left out.</summary>
    internal IEnumerable<CanaryShare> Shares(ImmutableArray<KvShard> targets)
    {
        foreach ((int target, ImmutableArray<CanaryPartial>[] parts) in _states.OrderBy(s => s.Key))
        {
            if (target >= targets.Length) continue;
            foreach (CanaryPartial partial in parts.Where(p => !p.IsDefault).SelectMany(p => p)) yield return new CanaryShare(target, targets[target].Tokens, partial);
        }
    }
}
