using System.Collections.Immutable;
using System.Security.Cryptography;

namespace KvHandoff.Session;

/// <summary>
/// The secret keys that tickets are signed and checked with, by number. One signs; the others are still, or already, accepted: a new key is
/// first given to every receiver, then made the signing one at the issuer, and the old one is taken away when its last ticket has expired.
/// </summary>
/// <remarks>Immutable and thread-safe. Its text never shows a key.</remarks>
public sealed class TicketKeyRing
{
    /// <summary>Shortest and longest key.</summary>
    public const int MinKeyBytes = 32, MaxKeyBytes = 128;

    /// <summary>Most keys of a ring.</summary>
    public const int MaxKeys = 64;

    private readonly ImmutableDictionary<uint, byte[]> _keys;

    /// <summary>A ring of one key.</summary>
    /// <param name="keyId">Its number, which tickets name.</param>
    /// <param name="key">32 to 128 random bytes; copied.</param>
    /// <exception cref="ArgumentException">The key is too short or too long.</exception>
    public TicketKeyRing(uint keyId, ReadOnlySpan<byte> key)
        : this(keyId, ImmutableDictionary<uint, byte[]>.Empty.Add(keyId, Checked(key)))
    {
    }

    private TicketKeyRing(uint signing, ImmutableDictionary<uint, byte[]> keys)
    {
        SigningKeyId = signing;
        _keys = keys;
    }

    /// <summary>The key that new tickets are signed with.</summary>
    public uint SigningKeyId { get; }

    /// <summary>Numbers of all keys, ascending.</summary>
    public ImmutableArray<uint> KeyIds => [.. _keys.Keys.Order()];

    /// <summary>The ring with one more key, which does not sign yet.</summary>
    /// <exception cref="ArgumentException">The number is taken, the ring is full, or the key is too short or too long.</exception>
    public TicketKeyRing With(uint keyId, ReadOnlySpan<byte> key)
    {
        if (_keys.ContainsKey(keyId)) throw new ArgumentException($"Key {keyId} is in the ring already; a key keeps its number.", nameof(keyId));
        if (_keys.Count == MaxKeys) throw new ArgumentException($"The ring has {_keys.Count} keys; allowed: {MaxKeys}.", nameof(keyId));
        return new TicketKeyRing(SigningKeyId, _keys.Add(keyId, Checked(key)));
    }

    /// <summary>The ring with another signing key.</summary>
    /// <exception cref="ArgumentException">The ring does not have it.</exception>
    public TicketKeyRing SigningWith(uint keyId) =>
        _keys.ContainsKey(keyId) ? new TicketKeyRing(keyId, _keys) : throw new ArgumentException($"Key {keyId} is not in the ring, which has {string.Join(", ", KeyIds)}.", nameof(keyId));

    /// <summary>The ring without a key: its tickets are refused from here on.</summary>
    /// <exception cref="ArgumentException">It is the signing key.</exception>
    public TicketKeyRing Without(uint keyId) =>
        keyId != SigningKeyId ? new TicketKeyRing(SigningKeyId, _keys.Remove(keyId)) : throw new ArgumentException($"Key {keyId} signs; make another one the signing key first.", nameof(keyId));

    /// <inheritdoc/>
    public override string ToString() => $"keys {string.Join(", ", KeyIds)}, {SigningKeyId} signs";

    /// <summary>The MAC of a ticket's bytes; false when the ring lacks the key.</summary>
    internal bool TrySign(uint keyId, ReadOnlySpan<byte> signed, Span<byte> mac)
    {
        if (!_keys.TryGetValue(keyId, out byte[]? key)) return false;
        HMACSHA256.HashData(key, signed, mac);
        return true;
    }

    private static byte[] Checked(ReadOnlySpan<byte> key) => key.Length is >= MinKeyBytes and <= MaxKeyBytes
        ? key.ToArray()
        : throw new ArgumentException($"The key has {key.Length} bytes; allowed: {MinKeyBytes} to {MaxKeyBytes}.", nameof(key));
}
