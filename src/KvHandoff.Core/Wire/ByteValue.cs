namespace KvHandoff.Wire;

/// <summary>Bytes that are compared by content. Immutable as long as nobody writes to the memory that it was made of.</summary>
public readonly struct ByteValue(ReadOnlyMemory<byte> memory) : IEquatable<ByteValue>
{
    /// <summary>The bytes.</summary>
    public ReadOnlyMemory<byte> Memory => memory;

    /// <summary>The bytes.</summary>
    public ReadOnlySpan<byte> Span => memory.Span;

    /// <summary>Number of bytes.</summary>
    public int Length => memory.Length;

    /// <summary>Whether there are none.</summary>
    public bool IsEmpty => memory.IsEmpty;

    /// <inheritdoc/>
    public bool Equals(ByteValue other) => Span.SequenceEqual(other.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ByteValue other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Span);
        return hash.ToHashCode();
    }

    /// <summary>The number of bytes: their content is not for people.</summary>
    public override string ToString() => $"{Length} bytes";

    /// <summary>The same bytes.</summary>
    public static implicit operator ByteValue(ReadOnlyMemory<byte> memory) => new(memory);

    /// <summary>The same bytes.</summary>
    public static implicit operator ByteValue(byte[] bytes) => new(bytes);

    /// <summary>Equality by content.</summary>
    public static bool operator ==(ByteValue left, ByteValue right) => left.Equals(right);

    /// <summary>Inequality by content.</summary>
    public static bool operator !=(ByteValue left, ByteValue right) => !left.Equals(right);
}
