using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

public sealed class HandoffTicketTests
{
    // Made with Python's hmac and struct from the table in docs/security.md.
    private const string Golden =
        "4b5648540100080a070000000000000000112233445566778899aabbccddeeff141a99be1c0000000068e5cf8b010000e0fbe9cf8b010000f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
        + "6465636f64652d3070726566696c6c2dc3a9c48f8276afa6c516ffeaa6fa73126cdeb9977fb959865f13405e5d3df7071fe8";

    private static readonly Guid Id = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    private readonly TicketTime _time = new(1_700_000_100_000);

    private readonly TicketKeyRing _keys = new(7, Key(0));

    [Fact]
    public void Bytes_of_an_independent_writer_are_read_and_verified()
    {
        byte[] bytes = Convert.FromHexString(Golden);
        Assert.True(HandoffTicket.TryParse(bytes, out HandoffTicket? ticket, out string? error), error);
        Assert.Equal((7u, "decode-0", "prefill-é", Id, 123_456_789_012), (ticket!.KeyId, ticket.Audience, ticket.Sender, ticket.HandoffId, ticket.MaxKvBytes));
        Assert.Equal((1_700_000_000_000, 1_700_000_300_000), (ticket.NotBeforeUnixMilliseconds, ticket.ExpiryUnixMilliseconds));
        Assert.Equal(bytes, ticket.Encoded.ToArray());
        var key = new byte[32];
        for (int i = 0; i < 32; i++) key[i] = (byte)i;
        TicketVerdict verdict = new TicketVerifier("decode-0", new TicketKeyRing(7, key), time: _time).Verify(bytes, "prefill-é", Id, 123_456_789_012);
        Assert.True(verdict.IsValid, verdict.Text);
    }

    [Fact]
    public void What_is_issued_is_read_back()
    {
        HandoffTicket issued = Issue(), again = Issue();
        Assert.True(HandoffTicket.TryParse(issued.Encoded.Span, out HandoffTicket? read, out _));
        Assert.Equal(("receiver", "sender", Id, 1000L), (read!.Audience, read.Sender, read.HandoffId, read.MaxKvBytes));
        Assert.Equal((_time.Now, _time.Now + 60_000), (read.NotBeforeUnixMilliseconds, read.ExpiryUnixMilliseconds));
        Assert.NotEqual(issued.Nonce, again.Nonce);
        Assert.DoesNotContain(Convert.ToHexString(issued.Encoded.Span[^32..]), issued.ToString(), StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("AAAA", new TicketKeyRing(1, Enumerable.Repeat((byte)0xAA, 32).ToArray()).ToString(), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Every_changed_byte_is_refused()
    {
        var verifier = new TicketVerifier("receiver", _keys, time: _time);
        byte[] bytes = Issue().Encoded.ToArray();
        var seen = new HashSet<TicketFailure>();
        for (int i = 0; i < bytes.Length; i++)
        {
            foreach (int mask in (int[])[1, 2, 4, 8, 16, 32, 64, 128, 255])
            {
                byte[] changed = [.. bytes];
                changed[i] ^= (byte)mask;
                TicketVerdict verdict = verifier.Verify(changed, "sender", Id, 10);
                Assert.False(verdict.IsValid, $"Byte {i} changed by {mask} was accepted.");
                Assert.Null(verdict.Ticket);
                Assert.Contains(verdict.Failure, new[] { TicketFailure.Malformed, TicketFailure.UnknownKey, TicketFailure.BadSignature });
                seen.Add(verdict.Failure);
            }
        }

        Assert.Equal(3, seen.Count);
        Assert.Equal(0, verifier.RememberedNonces);
        Assert.True(verifier.Verify(bytes, "sender", Id, 10).IsValid);
    }

    [Fact]
    public void Every_truncation_and_extension_is_malformed()
    {
        var verifier = new TicketVerifier("receiver", _keys, time: _time);
        byte[] bytes = Issue().Encoded.ToArray();
        for (int length = 0; length < bytes.Length; length++) Assert.Equal(TicketFailure.Malformed, verifier.Verify(bytes.AsSpan(0, length), "sender", Id, 10).Failure);
        Assert.Equal(TicketFailure.Malformed, verifier.Verify([.. bytes, 0], "sender", Id, 10).Failure);
        TicketVerdict verdict = verifier.Verify(new byte[1 << 20], "sender", Id, 10);
        Assert.Equal(TicketFailure.Malformed, verdict.Failure);
        Assert.Contains("1048576", verdict.Text);
    }

    [Fact]
    public void Random_bytes_are_refused_and_never_throw()
    {
        var random = new Random(4);
        var verifier = new TicketVerifier("receiver", _keys, time: _time);
        byte[] valid = Issue().Encoded.ToArray();
        for (int round = 0; round < 20_000; round++)
        {
            byte[] bytes = new byte[random.Next(HandoffTicket.MaxBytes + 40)];
            random.NextBytes(bytes);
            // Half of them begin as a ticket does.
            if (round % 2 == 0) valid.AsSpan(0, Math.Min(bytes.Length, random.Next(80))).CopyTo(bytes);
            TicketVerdict verdict = verifier.Verify(bytes, "sender", Id, 10);
            Assert.False(verdict.IsValid);
            Assert.NotEmpty(verdict.Text);
        }
    }

    [Theory]
    [InlineData("audience")]
    [InlineData("sender")]
    [InlineData("handoff")]
    [InlineData("bytes")]
    [InlineData("key")]
    [InlineData("forged")]
    public void Each_claim_counts(string what)
    {
        var verifier = new TicketVerifier("receiver", _keys, time: _time);
        HandoffTicket ticket = what switch
        {
            "audience" => Issue(Claims() with { Audience = "receiver2" }),
            "sender" => Issue(Claims() with { Sender = "Sender" }),
            "handoff" => Issue(Claims() with { HandoffId = Guid.NewGuid() }),
            "bytes" => Issue(Claims() with { MaxKvBytes = 9 }),
            "key" => HandoffTicket.Issue(new TicketKeyRing(8, Key(0)), Claims(), _time),
            _ => HandoffTicket.Issue(new TicketKeyRing(7, Key(1)), Claims(), _time),
        };
        TicketFailure expected = what switch
        {
            "audience" => TicketFailure.WrongAudience,
            "sender" => TicketFailure.WrongSender,
            "handoff" => TicketFailure.WrongHandoff,
            "bytes" => TicketFailure.TooManyBytes,
            "key" => TicketFailure.UnknownKey,
            _ => TicketFailure.BadSignature,
        };
        TicketVerdict verdict = verifier.Verify(ticket.Encoded.Span, "sender", Id, 10);
        Assert.Equal(expected, verdict.Failure);
        // The text tells what was found, and nothing that helps to forge.
        Assert.DoesNotContain(Convert.ToHexString(ticket.Encoded.Span[^32..])[..8], verdict.Text, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(0, verifier.RememberedNonces);
    }

    [Fact]
    public void Claims_out_of_range_are_not_issued()
    {
        Refused(Claims() with { Audience = "" }, "Audience has 0");
        Refused(Claims() with { Sender = new string('x', 256) }, "Sender has 256");
        Refused(Claims() with { Sender = new string('é', 128) }, "Sender has 256");
        Refused(Claims() with { MaxKvBytes = 0 }, "allows 0 bytes");
        Refused(Claims() with { Lifetime = TimeSpan.Zero }, "apart");
        Refused(Claims() with { Lifetime = TimeSpan.FromHours(24) + TimeSpan.FromMilliseconds(1) }, "86400000");
        Refused(Claims() with { Lifetime = TimeSpan.MaxValue }, "apart");
        Refused(Claims() with { NotBefore = DateTimeOffset.MaxValue }, "253402300799999");
        Refused(Claims() with { NotBefore = DateTimeOffset.MinValue }, "since 1970");
        Assert.Equal(HandoffTicket.MaxBytes, Issue(Claims() with { Sender = new string('x', 255), Audience = new string('y', 255) }).Encoded.Length);
        Assert.Equal(HandoffTicket.MinBytes, Issue(Claims() with { Sender = "x", Audience = "y" }).Encoded.Length);

        void Refused(TicketClaims claims, string expected) => Assert.Contains(expected, Assert.Throws<ArgumentException>(() => Issue(claims)).Message);
    }

    [Fact]
    public void Keys_rotate_without_a_gap()
    {
        TicketKeyRing both = _keys.With(8, Key(1));
        var verifier = new TicketVerifier("receiver", both, time: _time);
        HandoffTicket old = HandoffTicket.Issue(both, Claims(), _time), fresh = HandoffTicket.Issue(both.SigningWith(8), Claims(), _time);
        Assert.Equal((7u, 8u), (old.KeyId, fresh.KeyId));
        Assert.True(verifier.Verify(old.Encoded.Span, "sender", Id, 10).IsValid);
        Assert.True(verifier.Verify(fresh.Encoded.Span, "sender", Id, 10).IsValid);
        verifier.Keys = both.SigningWith(8).Without(7);
        Assert.Equal(TicketFailure.UnknownKey, verifier.Verify(old.Encoded.Span, "sender", Id, 10).Failure);
        Assert.True(verifier.Verify(fresh.Encoded.Span, "sender", Id, 10).IsValid);
        Assert.Equal([7u, 8u], both.KeyIds.ToArray());
        Assert.Contains("8", Assert.Throws<ArgumentException>(() => both.With(8, Key(2))).Message);
        Assert.Contains("7", Assert.Throws<ArgumentException>(() => both.Without(7)).Message);
        Assert.Contains("9", Assert.Throws<ArgumentException>(() => both.SigningWith(9)).Message);
        Assert.Contains("31", Assert.Throws<ArgumentException>(() => both.With(9, new byte[31])).Message);
        Assert.Contains("129", Assert.Throws<ArgumentException>(() => both.With(9, new byte[129])).Message);
        for (uint i = 100; both.KeyIds.Length < TicketKeyRing.MaxKeys; i++) both = both.With(i, Key((int)i));
        Assert.Contains("64", Assert.Throws<ArgumentException>(() => both.With(1000, Key(3))).Message);
    }

    private static byte[] Key(int seed)
    {
        var key = new byte[32];
        new Random(seed).NextBytes(key);
        return key;
    }

    private static TicketClaims Claims() => new() { Audience = "receiver", Sender = "sender", HandoffId = Id, MaxKvBytes = 1000, Lifetime = TimeSpan.FromMinutes(1) };

    private HandoffTicket Issue(TicketClaims? claims = null) => HandoffTicket.Issue(_keys, claims ?? Claims(), _time);
}

/// <summary>A clock that stands until a test moves it.</summary>
internal sealed class TicketTime(long now) : TimeProvider
{
    /// <summary>Milliseconds since 1970.</summary>
    internal long Now { get; set; } = now;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.FromUnixTimeMilliseconds(Now);
}
