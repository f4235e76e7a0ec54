using System.Buffers;

namespace KvHandoff.Session;

/// <summary>
/// An array for the time of one handoff: cleared, of at least the length that was asked for. What grows with the number of blocks comes from
/// here, so that a long sequence costs no more garbage than a short one.
/// </summary>
internal sealed class PooledArray<T>(int length)
    where T : unmanaged
{
    private T[]? _items = Rent(length);

    /// <summary>The items; empty once it was given back.</summary>
    internal Span<T> Items => _items is { } items ? items.AsSpan(0, length) : [];

    /// <summary>Nobody may use the items any more. Further calls do nothing.</summary>
    internal void Return()
    {
        if (Interlocked.Exchange(ref _items, null) is { Length: > 0 } items) ArrayPool<T>.Shared.Return(items);
    }

    private static T[] Rent(int length)
    {
        if (length == 0) return [];
        T[] items = ArrayPool<T>.Shared.Rent(length);
        items.AsSpan(0, length).Clear();
        return items;
    }
}
