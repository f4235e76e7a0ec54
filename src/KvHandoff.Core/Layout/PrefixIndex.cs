using System.Collections.Immutable;

namespace KvHandoff.Layout;

/// <summary>
/// Remembers which prefixes lie in a cache, and keeps their blocks: a sequence that begins with the same tokens shares them instead of
/// computing or receiving them again. Prefixes are known in units of <see cref="UnitTokens"/>; what was not asked for longest is forgotten first.
/// </summary>
/// <remarks>
/// Thread-safe; a sequence that is added is used by the calling thread alone. The cache must outlive the index.
/// </remarks>
public sealed partial class PrefixIndex : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<PrefixHash, Entry> _entries = [];

    // From the one asked for last. A path is moved to the front from its end, so a unit lies before all that continue it, and the last
    // of the list is continued by none.
    private readonly LinkedList<Entry> _recent = new();
    private bool _disposed;

    /// <summary>An empty index.</summary>
    /// <exception cref="KvLayoutException">The block sizes have no common multiple that a sequence could reach.</exception>
    public PrefixIndex(PagedKvCache cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        Cache = cache;
        long unit = KvSegment.GranuleTokens;
        foreach (LayerGroup group in cache.Layout.Groups)
        {
            unit = unit / (long)Gcd(unit, group.BlockTokens) * group.BlockTokens;
            if (unit > int.MaxValue) throw new KvLayoutException($"Blocks of {string.Join(", ", cache.Layout.Groups.Select(g => g.BlockTokens))} tokens begin together only every {unit} tokens; allowed: {int.MaxValue}.");
        }

        UnitTokens = (int)unit;
    }

    /// <summary>The cache whose blocks are kept.</summary>
    public PagedKvCache Cache { get; }

    /// <summary>
    /// Tokens of a unit: the least number that is whole granules, whole blocks of every layer group, and whole scale tiles. Only whole units are
    /// shared, so no block is both shared and written.
    /// </summary>
    public int UnitTokens { get; }

    /// <summary>Units that are known.</summary>
    public int Units
    {
        get
        {
            lock (_gate) return _entries.Count;
        }
    }

    /// <summary>Remembers the whole units of a committed sequence, and keeps their blocks; those that are known already are kept as they are.</summary>
    /// <param name="sequence">The sequence. Its tokens that are remembered can no longer be written.</param>
    /// <param name="hashes">Hashes of its granules from position 0; more than it has complete are ignored.</param>
    /// <returns>Units that were not known before.</returns>
    /// <exception cref="ArgumentException">The sequence is of another cache.</exception>
    public int Add(KvSequence sequence, ReadOnlySpan<PrefixHash> hashes)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        if (!ReferenceEquals(sequence.Cache, Cache)) throw new ArgumentException("The sequence is of another cache than the index.", nameof(sequence));
        sequence.RequireUsable();
        int granules = Math.Min(hashes.Length, sequence.Tokens / KvSegment.GranuleTokens), units = granules / UnitGranules, added = 0;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            Entry? last = null;
            for (int u = 0; u < units; u++)
            {
                PrefixHash hash = HashOf(hashes, u);
                if (!_entries.TryGetValue(hash, out Entry? entry))
                {
                    entry = new Entry(hash, last, Keep(sequence, u));
                    _entries.Add(hash, entry);
                    _recent.AddFirst(entry.Place);
                    added++;
                }

                last = entry;
            }

            Touch(last);
            sequence.Share(units * UnitTokens);
        }

        return added;
    }

    /// <summary>The longest known prefix.</summary>
    /// <param name="hashes">Hashes of a sequence's granules from position 0.</param>
    public PrefixMatch Lookup(ReadOnlySpan<PrefixHash> hashes)
    {
        int groups = Cache.Pools.Length, units = hashes.Length / UnitGranules, known = 0;
        var blocks = new ImmutableArray<SlotHandle>.Builder[groups];
        for (int g = 0; g < groups; g++) blocks[g] = ImmutableArray.CreateBuilder<SlotHandle>();
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            Entry? last = null;
            for (; known < units && _entries.TryGetValue(HashOf(hashes, known), out Entry? entry) && entry.Before == last; known++)
            {
                for (int g = 0; g < groups; g++) blocks[g].AddRange(entry.Blocks[g]);
                last = entry;
            }

            Touch(last);
        }

        return new PrefixMatch(Cache, known * UnitTokens, UnitTokens, [.. blocks.Select(b => b.ToImmutable())]);
    }

    /// <summary>Forgets everything and gives the blocks back; those that sequences hold live on with them.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            while (_recent.Last is { } last) Forget(last.Value);
        }
    }

    private int UnitGranules => UnitTokens / KvSegment.GranuleTokens;

    private PrefixHash HashOf(ReadOnlySpan<PrefixHash> hashes, int unit) => hashes[(unit + 1) * UnitGranules - 1];

    private SlotHandle[][] Keep(KvSequence sequence, int unit)
    {
        var blocks = new SlotHandle[Cache.Pools.Length][];
        for (int g = 0; g < blocks.Length; g++)
        {
            int perUnit = UnitTokens / Cache.Layout.Groups[g].BlockTokens;
            blocks[g] = sequence.Table(g).Slots.Slice(unit * perUnit, perUnit).ToArray();
            foreach (SlotHandle handle in blocks[g]) Cache.Pools[g].AddReference(handle);
        }

        return blocks;
    }

    private void Touch(Entry? last)
    {
        for (Entry? entry = last; entry is not null; entry = entry.Before)
        {
            _recent.Remove(entry.Place);
            _recent.AddFirst(entry.Place);
        }
    }

    private static long Gcd(long a, long b) => b == 0 ? a : Gcd(b, a % b);

    /// <summary>One unit of a prefix.</summary>
    private sealed class Entry
    {
        internal Entry(PrefixHash hash, Entry? before, SlotHandle[][] blocks)
        {
            Hash = hash;
            Before = before;
            Blocks = blocks;
            Place = new LinkedListNode<Entry>(this);
            if (before is not null) before.Continuations++;
        }

        internal PrefixHash Hash { get; }

        internal Entry? Before { get; }

        /// <summary>Per layer group.</summary>
        internal SlotHandle[][] Blocks { get; }

        internal LinkedListNode<Entry> Place { get; }

        /// <summary>Known units that continue this one.</summary>
        internal int Continuations { get; set; }
    }
}
