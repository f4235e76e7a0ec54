using System.Collections.Immutable;

namespace KvHandoff.Wire;

/// <summary>
/// What the receiver needs beside the cache to go on with a sequence. Equal when all contents are equal. Immutable as long as the host
/// does not change the memory that it passed.
/// </summary>
/// <param name="TokenIds">Ids of the sequence's tokens from position 0, none negative; at most 2,097,152; default counts as empty.</param>
/// <param name="Position">Tokens in the cache, 0 to 2,097,152.</param>
/// <param name="FirstToken">The token that prefill sampled and that the receiver emits first; -1 when there is none.</param>
/// <param name="SamplerState">Opaque, at most 64 KiB.</param>
/// <param name="HostMetadata">Opaque, at most 1 MiB.</param>
public sealed record HandoffManifest(
    ImmutableArray<int> TokenIds,
    int Position,
    int FirstToken = -1,
    ReadOnlyMemory<byte> SamplerState = default,
    ReadOnlyMemory<byte> HostMetadata = default)
{
    /// <summary>Throws when a field is out of range.</summary>
    /// <exception cref="ArgumentException">The message names the field, its value and what is allowed.</exception>
    public void Validate()
    {
        if (Check() is { } error) throw new ArgumentException(error.Message);
    }

    /// <summary>Null when every field is in range.</summary>
    public WireError? Check()
    {
        ReadOnlySpan<int> ids = TokenIds.IsDefault ? default : TokenIds.AsSpan();
        int negative = ids.IndexOfAnyExceptInRange(0, int.MaxValue);
        if (negative >= 0) return WireError.Value($"Token id {negative} of the manifest", ids[negative], "0 or more");
        return WireError.Range("The manifest's number of token ids", ids.Length, 0, WireConstants.MaxTokens)
            ?? WireError.Range("The manifest's position", Position, 0, WireConstants.MaxTokens)
            ?? WireError.Range("The manifest's first token", FirstToken, -1, int.MaxValue)
            ?? WireError.Range("The manifest's sampler state in bytes", SamplerState.Length, 0, WireConstants.MaxSamplerStateBytes)
            ?? WireError.Range("The manifest's host metadata in bytes", HostMetadata.Length, 0, WireConstants.MaxMetadataBytes);
    }

    /// <inheritdoc/>
    public bool Equals(HandoffManifest? other) =>
        other is not null && Position == other.Position && FirstToken == other.FirstToken && ArrayValue.Equal(TokenIds, other.TokenIds)
        && SamplerState.Span.SequenceEqual(other.SamplerState.Span) && HostMetadata.Span.SequenceEqual(other.HostMetadata.Span);

    /// <inheritdoc/>
    public override int GetHashCode() =>
        HashCode.Combine(Position, FirstToken, ArrayValue.Hash(TokenIds), SamplerState.Length, HostMetadata.Length);
}
