using System.Runtime.InteropServices;

namespace KvHandoff.Layout;

/// <summary>The blocks of one sequence in one layer group: token <c>t</c> lies in block <c>t / BlockTokens</c>.</summary>
/// <remarks>Not thread-safe: it grows only through the sequence that owns it.</remarks>
public sealed class BlockTable
{
    private readonly List<SlotHandle> _slots = [];

    /// <summary>Blocks in the table.</summary>
    public int Count => _slots.Count;

    /// <summary>Slot of block <paramref name="index"/>.</summary>
    public SlotHandle this[int index] => _slots[index];

    /// <summary>The slots in order.</summary>
    public ReadOnlySpan<SlotHandle> Slots => CollectionsMarshal.AsSpan(_slots);

    internal void Add(ReadOnlySpan<SlotHandle> handles) => _slots.AddRange(handles);

    /// <summary>Adds <paramref name="count"/> blocks, for the caller to fill in.</summary>
    internal Span<SlotHandle> Add(int count)
    {
        CollectionsMarshal.SetCount(_slots, _slots.Count + count);
        return CollectionsMarshal.AsSpan(_slots)[^count..];
    }

    internal void RemoveLast(int count) => _slots.RemoveRange(_slots.Count - count, count);

    internal void Clear() => _slots.Clear();

    /// <summary>Exchanges two blocks' places. For tests: physical order must not matter, logical order must.</summary>
    internal void Swap(int a, int b) => (_slots[a], _slots[b]) = (_slots[b], _slots[a]);
}
