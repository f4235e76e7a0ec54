namespace KvHandoff.Bench.Simulation;

/// <summary>Which blocks of prompts are still cached, least recently used out first: one pool for all prefill nodes, as a store beside them keeps it.</summary>
/// <param name="capacityBlocks">Most blocks; <see cref="long.MaxValue"/> for all of them.</param>
internal sealed class PrefixCache(long capacityBlocks)
{
    private const int None = -1;

    private readonly Dictionary<int, int> _slots = [];
    private int[] _block = new int[256], _older = new int[256], _newer = new int[256];
    private int _newest = None, _oldest = None, _used;

    internal int Count => _slots.Count;

    /// <summary>How many blocks from the beginning on are cached; they become the most recent.</summary>
    internal int Find(ReadOnlySpan<int> blocks)
    {
        int found = 0;
        while (found < blocks.Length && _slots.TryGetValue(blocks[found], out int slot))
        {
            Renew(slot);
            found++;
        }

        return found;
    }

    internal void Add(ReadOnlySpan<int> blocks)
    {
        foreach (int block in blocks)
        {
            if (_slots.TryGetValue(block, out int slot))
            {
                Renew(slot);
                continue;
            }

            if (capacityBlocks <= 0) return;
            slot = _slots.Count >= capacityBlocks ? Evict() : NewSlot();
            _block[slot] = block;
            _slots[block] = slot;
            Link(slot);
        }
    }

    private void Renew(int slot)
    {
        if (slot == _newest) return;
        Unlink(slot);
        Link(slot);
    }

    private int Evict()
    {
        int slot = _oldest;
        Unlink(slot);
        _slots.Remove(_block[slot]);
        return slot;
    }

    private void Link(int slot)
    {
        _older[slot] = _newest;
        _newer[slot] = None;
        if (_newest != None) _newer[_newest] = slot;
        _newest = slot;
        if (_oldest == None) _oldest = slot;
    }

    private void Unlink(int slot)
    {
        if (_older[slot] != None) _newer[_older[slot]] = _newer[slot];
        else _oldest = _newer[slot];
        if (_newer[slot] != None) _older[_newer[slot]] = _older[slot];
        else _newest = _older[slot];
    }

    private int NewSlot()
    {
        if (_used == _block.Length)
        {
            Array.Resize(ref _block, 2 * _used);
            Array.Resize(ref _older, 2 * _used);
            Array.Resize(ref _newer, 2 * _used);
        }

        return _used++;
    }
}
