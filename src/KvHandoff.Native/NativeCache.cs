using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Native;

/// <summary>A cache, in memory of the library or of the host, and the blocks that the host keeps for itself.</summary>
sealed unsafe class NativeCache : NativeObject
{
    readonly KvhCacheOptions _options;
    readonly MemoryRegion[] _wrapped;
    readonly Lock _gate = new();
    readonly SlotHandle[][] _hostBlocks;
    readonly bool[][] _isHosts;

    internal NativeCache(PagedKvCache cache, MemoryRegion[] wrapped, KvhCacheOptions options)
    {
        Cache = cache;
        _wrapped = wrapped;
        _options = options;
        int groups = cache.Pools.Length;
        _hostBlocks = new SlotHandle[groups][];
        _isHosts = new bool[groups][];
        for (int g = 0; g < groups; g++)
        {
            _hostBlocks[g] = new SlotHandle[HasHostBlocks ? cache.Pools[g].Capacity : 0];
            _isHosts[g] = new bool[_hostBlocks[g].Length];
            if (HasHostBlocks) Take(g, _hostBlocks[g].Length, new int[_hostBlocks[g].Length]);
        }
    }

    internal PagedKvCache Cache { get; }

    internal bool HasHostBlocks => (_options.Flags & CacheExports.HostBlocks) != 0;

    /// <summary>Free blocks become the host's.</summary>
    internal bool Take(int group, int count, Span<int> blocks)
    {
        RequireHostBlocks();
        lock (_gate)
        {
            var taken = new SlotHandle[count];
            if (!Cache.Pools[group].TryAllocate(taken)) return false;
            for (int i = 0; i < count; i++) Keep(group, taken[i], blocks, i);
            return true;
        }
    }

    /// <summary>Blocks of the host become free.</summary>
    internal void Give(int group, ReadOnlySpan<int> blocks)
    {
        RequireHostBlocks();
        lock (_gate)
        {
            // All or none: a block that is named twice is the host's no more the second time.
            for (int i = 0; i < blocks.Length; i++)
            {
                if (IsHosts(group, blocks[i]) && References(group, blocks[i]) == 1)
                {
                    _isHosts[group][blocks[i]] = false;
                    continue;
                }

                for (int back = 0; back < i; back++) _isHosts[group][blocks[back]] = true;
                throw new StatusException(IsHosts(group, blocks[i]) ? Status.InUse : Status.Argument,
                    IsHosts(group, blocks[i]) ? $"Block {blocks[i]} of group {group} is in an adopted sequence." : $"Block {blocks[i]} of group {group} is not the host's to give, or named twice.");
            }

            foreach (int block in blocks) Cache.Pools[group].Release(_hostBlocks[group][block]);
        }
    }

    /// <summary>A sequence in blocks of the host, which stay its own.</summary>
    internal KvSequence Adopt(KvhBlockSpan* spans, int groups, int tokens)
    {
        RequireHostBlocks();
        if (groups != Cache.Pools.Length) throw new StatusException(Status.Argument, $"Blocks of {groups} groups are given; the cache has {Cache.Pools.Length}.");
        if (Cache.Layout.Groups.Any(g => g.HasTail)) throw new StatusException(Status.Unsupported, "Blocks with scales in them are filled by kvh_sequence_write, not adopted.");
        KvSequence sequence = Cache.CreateSequence();
        try
        {
            for (int g = 0; g < groups; g++)
            {
                int count = HostStructs.RequireRange(spans[g].Count, 0, Cache.Pools[g].Capacity, "count");
                if (count > 0) HostStructs.RequireNotNull(spans[g].Blocks);
                for (int i = 0; i < count; i++) Hold(sequence, g, spans[g].Blocks[i]);
            }

            if (tokens < 0 || tokens > sequence.Capacity) throw new StatusException(Status.Argument, $"{tokens} tokens are in blocks for {sequence.Capacity}.");
            sequence.Advance(tokens);
            return sequence;
        }
        catch
        {
            sequence.Dispose();
            throw;
        }
    }

    /// <summary>The blocks of a sequence of the library become the host's, who has them alone once the sequence is closed.</summary>
    internal void KeepBlocksOf(KvSequence sequence)
    {
        RequireHostBlocks();
        if (Cache.Layout.Groups.Any(g => g.HasTail)) throw new StatusException(Status.Unsupported, "Blocks with scales in them belong to their sequence's tail and stay with it.");
        lock (_gate)
        {
            for (int g = 0; g < _hostBlocks.Length; g++)
            {
                foreach (SlotHandle slot in sequence.Table(g).Slots)
                {
                    if (_isHosts[g][slot.Slot]) continue;
                    Cache.Pools[g].AddReference(slot);
                    Keep(g, slot, default, 0);
                }
            }
        }
    }

    protected override void Free()
    {
        Cache.Dispose();
        foreach (MemoryRegion region in _wrapped) region.Dispose();
        if (_options.Released == null) return;
        CallbackScope.Enter();
        try
        {
            _options.Released(_options.ReleasedUser);
        }
        finally
        {
            CallbackScope.Leave();
        }
    }

    void Hold(KvSequence sequence, int group, int block)
    {
        lock (_gate)
        {
            if (!IsHosts(group, block)) throw new StatusException(Status.Argument, $"Block {block} of group {group} is not the host's.");
            Cache.Pools[group].AddReference(_hostBlocks[group][block]);
            sequence.Table(group).Add([_hostBlocks[group][block]]);
        }
    }

    void Keep(int group, SlotHandle slot, Span<int> blocks, int index)
    {
        _hostBlocks[group][slot.Slot] = slot;
        _isHosts[group][slot.Slot] = true;
        if (!blocks.IsEmpty) blocks[index] = slot.Slot;
    }

    bool IsHosts(int group, int block) => (uint)block < (uint)_isHosts[group].Length && _isHosts[group][block];

    int References(int group, int block) => Cache.Pools[group].References(block);

    void RequireHostBlocks()
    {
        if (!HasHostBlocks) throw new StatusException(Status.State, "The blocks of this cache are the library's: it was made without KVH_CACHE_HOST_BLOCKS.");
    }
}
