using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Gateway.Routing;

/// <summary>
/// Which workers have seen which beginnings of prompts, in granules of 64 tokens: a hint for placing, bounded, the least recently used
/// forgotten first. What a worker really holds only the worker knows. Thread-safe.
/// </summary>
internal sealed class PrefixMemory(int capacity)
{
    // A prefix that more workers hold gains nothing from being remembered at all of them.
    private const int MaxWorkersPerPrefix = 4;

    private readonly Lock _gate = new();
    private readonly Dictionary<PrefixHash, LinkedListNode<Entry>> _entries = [];
    private readonly LinkedList<Entry> _byUse = new();

    /// <summary>Prefixes that are remembered.</summary>
    internal int Count
    {
        get
        {
            lock (_gate) return _entries.Count;
        }
    }

    /// <summary>The chain of a prompt's whole granules under a model; empty for a short prompt.</summary>
    internal static ImmutableArray<PrefixHash> Chain(string model, string revision, ReadOnlySpan<int> tokens) =>
        tokens.Length < KvSegment.GranuleTokens ? [] : PrefixHash.Chain(new ModelIdentity(model, revision, 0), tokens);

    /// <summary>How many tokens of the chain's beginning each worker was seen to hold.</summary>
    internal Dictionary<string, int> Held(ImmutableArray<PrefixHash> chain)
    {
        var held = new Dictionary<string, int>(StringComparer.Ordinal);
        lock (_gate)
        {
            for (int i = 0; i < chain.Length && _entries.TryGetValue(chain[i], out LinkedListNode<Entry>? node); i++)
            {
                // A worker counts only as far as it was never missing.
                foreach (string worker in node.Value.Workers)
                {
                    if (held.GetValueOrDefault(worker) == i * KvSegment.GranuleTokens) held[worker] = (i + 1) * KvSegment.GranuleTokens;
                }
            }
        }

        return held;
    }

    /// <summary>A worker has computed or received this prefix.</summary>
    internal void Remember(ImmutableArray<PrefixHash> chain, string worker)
    {
        lock (_gate)
        {
            // From the end: the beginnings, which most prompts share, are the most recently used.
            for (int i = chain.Length - 1; i >= 0; i--)
            {
                if (_entries.TryGetValue(chain[i], out LinkedListNode<Entry>? node)) _byUse.Remove(node);
                else _entries[chain[i]] = node = new LinkedListNode<Entry>(new Entry(chain[i], []));
                node.Value = node.Value with { Workers = [worker, .. node.Value.Workers.Where(w => w != worker).Take(MaxWorkersPerPrefix - 1)] };
                _byUse.AddFirst(node);
            }

            while (_entries.Count > capacity)
            {
                _entries.Remove(_byUse.Last!.Value.Hash);
                _byUse.RemoveLast();
            }
        }
    }

    /// <summary>The worker holds nothing any more.</summary>
    internal void Forget(string worker)
    {
        lock (_gate)
        {
            for (LinkedListNode<Entry>? node = _byUse.First, next; node is not null; node = next)
            {
                next = node.Next;
                if (!node.Value.Workers.Contains(worker)) continue;
                node.Value = node.Value with { Workers = [.. node.Value.Workers.Where(w => w != worker)] };
                if (node.Value.Workers.Length > 0) continue;
                _entries.Remove(node.Value.Hash);
                _byUse.Remove(node);
            }
        }
    }

    private sealed record Entry(PrefixHash Hash, ImmutableArray<string> Workers);
}
