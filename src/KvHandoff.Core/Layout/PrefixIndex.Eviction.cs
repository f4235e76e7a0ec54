namespace KvHandoff.Layout;

public sealed partial class PrefixIndex
{
    /// <summary>
    /// Forgets units, those first that were not asked for longest, until every layer group has <paramref name="freeBlocks"/> free blocks. A unit whose blocks
    /// sequences hold is kept, for forgetting it frees nothing, and so is what it continues.
    /// </summary>
    /// <returns>False when not enough could be freed.</returns>
    public bool EvictUntil(int freeBlocks)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(freeBlocks);
        return Evict(_ => freeBlocks);
    }

    /// <summary>The same until every layer group has free blocks for <paramref name="tokens"/> tokens.</summary>
    public bool EvictForTokens(int tokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        return Evict(pool => (int)(((long)tokens + pool.Group.BlockTokens - 1) / pool.Group.BlockTokens));
    }

    private bool Evict(Func<KvBlockPool, int> needed)
    {
        lock (_gate)
        {
            for (LinkedListNode<Entry>? at = _recent.Last; at is not null && !Enough();)
            {
                LinkedListNode<Entry>? next = at.Previous;
                if (at.Value.Continuations == 0 && Frees(at.Value)) Forget(at.Value);
                at = next;
            }
        }

        return Enough();

        bool Enough()
        {
            foreach (KvBlockPool pool in Cache.Pools)
            {
                if (pool.FreeSlots < needed(pool)) return false;
            }

            return true;
        }
    }

    private bool Frees(Entry entry)
    {
        for (int g = 0; g < entry.Blocks.Length; g++)
        {
            foreach (SlotHandle handle in entry.Blocks[g])
            {
                if (Cache.Pools[g].References(handle.Slot) == 1) return true;
            }
        }

        return false;
    }

    private void Forget(Entry entry)
    {
        _entries.Remove(entry.Hash);
        _recent.Remove(entry.Place);
        if (entry.Before is not null) entry.Before.Continuations--;
        for (int g = 0; g < entry.Blocks.Length; g++)
        {
            foreach (SlotHandle handle in entry.Blocks[g]) Cache.Pools[g].Release(handle);
        }
    }
}
