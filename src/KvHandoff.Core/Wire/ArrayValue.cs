using System.Collections.Immutable;

namespace KvHandoff.Wire;

/// <summary>Equality of arrays by content, where a default array counts as empty: records compare arrays by reference.</summary>
internal static class ArrayValue
{
    public static ReadOnlySpan<T> Span<T>(ImmutableArray<T> array) => array.IsDefault ? default : array.AsSpan();

    public static bool Equal<T>(ImmutableArray<T> left, ImmutableArray<T> right) where T : IEquatable<T> => Span(left).SequenceEqual(Span(right));

    public static bool Equal<T>(ImmutableArray<ImmutableArray<T>> left, ImmutableArray<ImmutableArray<T>> right) where T : IEquatable<T>
    {
        ReadOnlySpan<ImmutableArray<T>> a = Span(left), b = Span(right);
        if (a.Length != b.Length) return false;
        for (int i = 0; i < a.Length; i++)
        {
            if (!Equal(a[i], b[i])) return false;
        }

        return true;
    }

    /// <summary>Of the length, the first and the last element: enough to spread, and cheap for a million tokens.</summary>
    public static int Hash<T>(ImmutableArray<T> array) where T : IEquatable<T>
    {
        ReadOnlySpan<T> span = Span(array);
        return span.IsEmpty ? 0 : HashCode.Combine(span.Length, span[0], span[^1]);
    }
}
