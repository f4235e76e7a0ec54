using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Unicode;

namespace KvHandoff.Session;

/// <summary>What a ticket allows.</summary>
public sealed record TicketClaims
{
    /// <summary>Name of the receiver that it is for, 1 to 255 bytes of UTF-8.</summary>
    public required string Audience { get; init; }

    /// <summary>Name of the sender that may use it, 1 to 255 bytes of UTF-8.</summary>
    public required string Sender { get; init; }

    /// <summary>The one handoff that it is for.</summary>
    public required Guid HandoffId { get; init; }

    /// <summary>Most bytes of KV cache, as the receiver stores it, that may be reserved for it; 1 or more.</summary>
    public required long MaxKvBytes { get; init; }

    /// <summary>From when it is valid; null: from the time of issue.</summary>
    public DateTimeOffset? NotBefore { get; init; }

    /// <summary>For how long it is valid: 1 millisecond to 24 hours.</summary>
    public TimeSpan Lifetime { get; init; } = TimeSpan.FromMinutes(5);
}

/// <summary>
/// Authorises one handoff: a fixed binary form, signed with HMAC-SHA-256. What it says means nothing until <see cref="TicketVerifier"/> has
/// checked it. docs/security.md lists the bytes.
/// </summary>
/// <remarks>Immutable and thread-safe. Whoever holds the bytes can use them: send them over an encrypted or a local connection only.</remarks>
public sealed class HandoffTicket
{
    /// <summary>Version of the format.</summary>
    public const ushort Version = 1;

    /// <summary>Shortest and longest ticket.</summary>
    public const int MinBytes = FixedBytes + 2 + MacBytes, MaxBytes = FixedBytes + 2 * MaxNameBytes + MacBytes;

    /// <summary>Longest name of a sender or receiver, in bytes of UTF-8.</summary>
    public const int MaxNameBytes = 255;

    /// <summary>Longest validity, in milliseconds: so long a receiver may have to remember a nonce.</summary>
    public const long MaxLifetimeMilliseconds = 24L * 60 * 60 * 1000;

    internal const int FixedBytes = 72, MacBytes = HMACSHA256.HashSizeInBytes, NonceBytes = 16;

    private const uint Magic = 0x5448_564B; // "KVHT"

    // Where dates of this platform end: 31 December 9999.
    private const long MaxUnixMilliseconds = 253_402_300_799_999;

    private readonly byte[] _bytes;

    private HandoffTicket(byte[] bytes, string audience, string sender)
    {
        _bytes = bytes;
        Audience = audience;
        Sender = sender;
    }

    /// <summary>Key that signed it.</summary>
    public uint KeyId => BinaryPrimitives.ReadUInt32LittleEndian(_bytes.AsSpan(8));

    /// <summary>Name of the receiver that it is for.</summary>
    public string Audience { get; }

    /// <summary>Name of the sender that may use it.</summary>
    public string Sender { get; }

    /// <summary>The handoff that it is for.</summary>
    public Guid HandoffId => new(_bytes.AsSpan(16, 16), bigEndian: true);

    /// <summary>Most bytes of KV cache that may be reserved for it.</summary>
    public long MaxKvBytes => Int64(32);

    /// <summary>Start of its validity, in milliseconds since 1970 (UTC).</summary>
    public long NotBeforeUnixMilliseconds => Int64(40);

    /// <summary>End of its validity, in milliseconds since 1970 (UTC).</summary>
    public long ExpiryUnixMilliseconds => Int64(48);

    /// <summary>16 random bytes that make it one of a kind.</summary>
    public UInt128 Nonce => BinaryPrimitives.ReadUInt128LittleEndian(_bytes.AsSpan(56));

    /// <summary>The bytes to send.</summary>
    public ReadOnlyMemory<byte> Encoded => _bytes;

    internal ReadOnlySpan<byte> Signed => _bytes.AsSpan(0, _bytes.Length - MacBytes);

    internal ReadOnlySpan<byte> Mac => _bytes.AsSpan(_bytes.Length - MacBytes);

    /// <summary>Issues a ticket with the ring's signing key and a fresh nonce.</summary>
    /// <exception cref="ArgumentException">A claim is out of range; the message names it, its value and what is allowed.</exception>
    public static HandoffTicket Issue(TicketKeyRing keys, TicketClaims claims, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(claims);
        int audience = NameBytes(claims.Audience, nameof(claims.Audience)), sender = NameBytes(claims.Sender, nameof(claims.Sender));
        long lifetime = (long)claims.Lifetime.TotalMilliseconds;
        long start = (claims.NotBefore ?? (time ?? TimeProvider.System).GetUtcNow()).ToUnixTimeMilliseconds();
        var bytes = new byte[FixedBytes + audience + sender + MacBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), Version);
        bytes[6] = (byte)audience;
        bytes[7] = (byte)sender;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), keys.SigningKeyId);
        claims.HandoffId.TryWriteBytes(bytes.AsSpan(16, 16), bigEndian: true, out _);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(32), claims.MaxKvBytes);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(40), start);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(48), start + lifetime);
        RandomNumberGenerator.Fill(bytes.AsSpan(56, NonceBytes));
        Encoding.UTF8.GetBytes(claims.Audience, bytes.AsSpan(FixedBytes));
        Encoding.UTF8.GetBytes(claims.Sender, bytes.AsSpan(FixedBytes + audience));
        // What the parser refuses is not issued.
        if (!TryParse(bytes, out HandoffTicket? ticket, out string? error)) throw new ArgumentException(error, nameof(claims));
        keys.TrySign(keys.SigningKeyId, ticket!.Signed, ticket._bytes.AsSpan(bytes.Length - MacBytes));
        return ticket;
    }

    /// <summary>
    /// Reads the form of a ticket from bytes that a peer sent: never throws on them and copies at most <see cref="MaxBytes"/>. It does not check the
    /// signature.
    /// </summary>
    /// <param name="encoded">What came; its length is not trusted.</param>
    /// <param name="ticket">The ticket.</param>
    /// <param name="error">What is wrong, with the value found and the value expected; null on success.</param>
    public static bool TryParse(ReadOnlySpan<byte> encoded, out HandoffTicket? ticket, out string? error)
    {
        ticket = null;
        error = Check(encoded);
        if (error is not null) return false;
        int audience = encoded[6], sender = encoded[7];
        ticket = new HandoffTicket(encoded.ToArray(), Encoding.UTF8.GetString(encoded.Slice(FixedBytes, audience)), Encoding.UTF8.GetString(encoded.Slice(FixedBytes + audience, sender)));
        return true;
    }

    /// <summary>The claims, without nonce and signature.</summary>
    public override string ToString() =>
        $"ticket of key {KeyId}: {Sender} may hand over {HandoffId}, at most {MaxKvBytes} bytes, to {Audience} until {DateTimeOffset.FromUnixTimeMilliseconds(ExpiryUnixMilliseconds):u}";

    private static string? Check(ReadOnlySpan<byte> encoded)
    {
        if (encoded.Length is < MinBytes or > MaxBytes) return $"The ticket has {encoded.Length} bytes; allowed: {MinBytes} to {MaxBytes}.";
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(encoded);
        if (magic != Magic) return $"The ticket begins with 0x{magic:x8}; expected 0x{Magic:x8}.";
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(encoded[4..]);
        if (version != Version) return $"The ticket has version {version}; expected {Version}.";
        int audience = encoded[6], sender = encoded[7];
        if (audience == 0 || sender == 0) return $"The ticket's names have {audience} and {sender} bytes; allowed: 1 to {MaxNameBytes}.";
        int expected = FixedBytes + audience + sender + MacBytes;
        if (encoded.Length != expected) return $"The ticket has {encoded.Length} bytes; its names make it {expected}.";
        uint reserved = BinaryPrimitives.ReadUInt32LittleEndian(encoded[12..]);
        if (reserved != 0) return $"The ticket's reserved field is {reserved}; expected 0.";
        long bytes = BinaryPrimitives.ReadInt64LittleEndian(encoded[32..]);
        if (bytes < 1) return $"The ticket allows {bytes} bytes; allowed: 1 or more.";
        long start = BinaryPrimitives.ReadInt64LittleEndian(encoded[40..]), end = BinaryPrimitives.ReadInt64LittleEndian(encoded[48..]);
        if (start is < 0 or > MaxUnixMilliseconds || end is < 0 or > MaxUnixMilliseconds || end - start is < 1 or > MaxLifetimeMilliseconds)
            return $"The ticket is valid from {start} to {end}, in milliseconds since 1970; allowed: 1 to {MaxLifetimeMilliseconds} apart and at most {MaxUnixMilliseconds}.";
        if (!Utf8.IsValid(encoded.Slice(FixedBytes, audience)) || !Utf8.IsValid(encoded.Slice(FixedBytes + audience, sender))) return "A name in the ticket is not UTF-8.";
        return null;
    }

    private static int NameBytes(string name, string what)
    {
        int bytes = name is null ? 0 : Encoding.UTF8.GetByteCount(name);
        return bytes is >= 1 and <= MaxNameBytes ? bytes : throw new ArgumentException($"{what} has {bytes} bytes of UTF-8; allowed: 1 to {MaxNameBytes}.", "claims");
    }

    private long Int64(int offset) => BinaryPrimitives.ReadInt64LittleEndian(_bytes.AsSpan(offset));
}
