using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>When a ticket is valid, and how often.</summary>
public sealed class TicketVerifierTests
{
    private const long Start = 1_700_000_000_000;

    private readonly TicketTime _time = new(Start);

    private readonly TicketKeyRing _keys = new(1, Enumerable.Repeat((byte)5, 32).ToArray());

    [Theory]
    [InlineData(-30_001, TicketFailure.NotYetValid)]
    [InlineData(-30_000, TicketFailure.None)]
    [InlineData(0, TicketFailure.None)]
    [InlineData(60_000 + 29_999, TicketFailure.None)]
    [InlineData(60_000 + 30_000, TicketFailure.Expired)]
    public void Validity_has_thirty_seconds_of_skew_on_both_sides(long at, TicketFailure expected)
    {
        HandoffTicket ticket = Issue(Guid.NewGuid());
        _time.Now = Start + at;
        TicketVerdict verdict = Show(Verifier(), ticket);
        Assert.Equal(expected, verdict.Failure);
        if (expected != TicketFailure.None) Assert.Contains((Start + at).ToString(), verdict.Text);
    }

    [Fact]
    public void Without_skew_the_times_are_exact()
    {
        TicketVerifier verifier = Verifier(new TicketVerifierOptions { ClockSkew = TimeSpan.Zero });
        HandoffTicket ticket = Issue(Guid.NewGuid());
        _time.Now = Start - 1;
        Assert.Equal(TicketFailure.NotYetValid, Show(verifier, ticket).Failure);
        _time.Now = Start;
        Assert.True(Show(verifier, ticket).IsValid);
        _time.Now = Start + 59_999;
        Assert.True(Show(verifier, ticket).IsValid);
        _time.Now = Start + 60_000;
        Assert.Equal(TicketFailure.Expired, Show(verifier, ticket).Failure);
    }

    [Fact]
    public void A_retry_is_allowed_until_the_handoff_has_ended()
    {
        TicketVerifier verifier = Verifier();
        HandoffTicket ticket = Issue(Guid.NewGuid());
        TicketVerdict first = Show(verifier, ticket);
        Assert.True(first.IsValid);
        Assert.True(Show(verifier, ticket).IsValid);
        Assert.Equal(1, verifier.RememberedNonces);
        verifier.Spend(first.Ticket!);
        TicketVerdict verdict = Show(verifier, ticket);
        Assert.Equal(TicketFailure.Replayed, verdict.Failure);
        Assert.Contains($"{ticket.HandoffId}", verdict.Text);
        // A ticket that was never shown is not spent by accident.
        HandoffTicket other = Issue(Guid.NewGuid());
        verifier.Spend(other);
        Assert.True(Show(verifier, other).IsValid);
    }

    [Fact]
    public void A_nonce_is_good_for_one_handoff()
    {
        // The issuer would have to sign one nonce twice: its generator is broken, or the key is known to another.
        TicketVerifier verifier = Verifier();
        HandoffTicket ticket = Issue(Guid.NewGuid());
        Assert.True(Show(verifier, ticket).IsValid);
        HandoffTicket twin = WithNonceOf(ticket, Issue(Guid.NewGuid()));
        Assert.Equal(ticket.Nonce, twin.Nonce);
        TicketVerdict verdict = Show(verifier, twin);
        Assert.Equal(TicketFailure.Replayed, verdict.Failure);
        Assert.Contains($"{ticket.HandoffId}", verdict.Text);
        verifier.Spend(twin);
        Assert.True(Show(verifier, ticket).IsValid);
    }

    [Fact]
    public void A_full_memory_refuses_and_forgets_only_what_has_expired()
    {
        TicketVerifier verifier = Verifier(new TicketVerifierOptions { MaxNonces = 3 });
        HandoffTicket[] tickets = [.. Enumerable.Range(1, 3).Select(i => Issue(Guid.NewGuid(), i * 60_000))];
        Assert.All(tickets, t => Assert.True(Show(verifier, t).IsValid));
        HandoffTicket late = Issue(Guid.NewGuid(), 600_000);
        TicketVerdict verdict = Show(verifier, late);
        Assert.Equal(TicketFailure.ReplayCacheFull, verdict.Failure);
        Assert.Contains("allowed: 3", verdict.Text);
        // Known ones are still good, and still remembered.
        Assert.All(tickets, t => Assert.True(Show(verifier, t).IsValid));
        _time.Now = Start + 60_000 + 29_999;
        Assert.Equal(TicketFailure.ReplayCacheFull, Show(verifier, late).Failure);
        _time.Now++;
        Assert.True(Show(verifier, late).IsValid);
        Assert.Equal(3, verifier.RememberedNonces);
        Assert.Equal(TicketFailure.Expired, Show(verifier, tickets[0]).Failure);
        verifier.Spend(tickets[1]);
        Assert.Equal(TicketFailure.Replayed, Show(verifier, tickets[1]).Failure);
    }

    [Fact]
    public void A_clock_that_is_set_back_does_not_make_a_spent_ticket_good_again()
    {
        TicketVerifier verifier = Verifier();
        HandoffTicket ticket = Issue(Guid.NewGuid()), other = Issue(Guid.NewGuid(), 3_600_000);
        Assert.True(Show(verifier, ticket).IsValid);
        verifier.Spend(ticket);
        _time.Now = Start + 600_000;
        Assert.True(Show(verifier, other).IsValid);
        Assert.Equal(1, verifier.RememberedNonces);
        _time.Now = Start + 1000;
        Assert.Equal(TicketFailure.Expired, Show(verifier, ticket).Failure);
        Assert.True(Show(verifier, other).IsValid);
    }

    [Fact]
    public void Threads_do_not_overfill_the_memory()
    {
        TicketVerifier verifier = Verifier(new TicketVerifierOptions { MaxNonces = 500 });
        HandoffTicket[] tickets = [.. Enumerable.Range(0, 1000).Select(_ => Issue(Guid.NewGuid()))];
        int accepted = 0;
        Parallel.ForEach(tickets, t =>
        {
            TicketVerdict verdict = Show(verifier, t);
            if (verdict.IsValid) Interlocked.Increment(ref accepted);
            else Assert.Equal(TicketFailure.ReplayCacheFull, verdict.Failure);
        });
        Assert.Equal(500, accepted);
        Assert.Equal(500, verifier.RememberedNonces);
    }

    [Fact]
    public void Options_out_of_range_are_named()
    {
        Assert.Contains("skew", Assert.Throws<ArgumentOutOfRangeException>(() => Verifier(new TicketVerifierOptions { ClockSkew = TimeSpan.FromMinutes(11) })).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => Verifier(new TicketVerifierOptions { ClockSkew = TimeSpan.FromMilliseconds(-1) }));
        Assert.Contains("4194304", Assert.Throws<ArgumentOutOfRangeException>(() => Verifier(new TicketVerifierOptions { MaxNonces = 0 })).Message);
        Assert.Throws<ArgumentException>(() => new TicketVerifier("", _keys));
    }

    private static TicketVerdict Show(TicketVerifier verifier, HandoffTicket ticket) => verifier.Verify(ticket.Encoded.Span, "sender", ticket.HandoffId, 1);

    private TicketVerifier Verifier(TicketVerifierOptions? options = null) => new("receiver", _keys, options, _time);

    private HandoffTicket Issue(Guid id, long lifetime = 60_000) => HandoffTicket.Issue(_keys,
        new TicketClaims { Audience = "receiver", Sender = "sender", HandoffId = id, MaxKvBytes = 1, Lifetime = TimeSpan.FromMilliseconds(lifetime), NotBefore = DateTimeOffset.FromUnixTimeMilliseconds(Start) });

    private HandoffTicket WithNonceOf(HandoffTicket first, HandoffTicket second)
    {
        byte[] bytes = second.Encoded.ToArray();
        first.Encoded.Span.Slice(56, 16).CopyTo(bytes.AsSpan(56));
        Assert.True(_keys.TrySign(1, bytes.AsSpan(0, bytes.Length - 32), bytes.AsSpan(bytes.Length - 32)));
        Assert.True(HandoffTicket.TryParse(bytes, out HandoffTicket? ticket, out _));
        return ticket!;
    }
}
