using KvHandoff.Gateway.Limits;

namespace KvHandoff.Gateway.Tests.Limits;

public sealed class KeyAccountTests
{
    private readonly ManualTime _time = new();

    [Fact]
    public void Tokens_are_charged_before_and_settled_after()
    {
        KeyAccount account = Account(tokensPerMinute: 1000);
        Assert.Null(account.TryCharge(800, out LimitCharge charge));
        Assert.Equal(200, Remaining(account, "tokens-minute"));
        Assert.NotNull(account.TryCharge(201, out _));
        account.Settle(charge, 150);
        Assert.Equal(850, Remaining(account, "tokens-minute"));
        Assert.Null(account.TryCharge(850, out _));
    }

    [Fact]
    public void A_refusal_takes_nothing_of_any_limit()
    {
        KeyAccount account = Account(tokensPerMinute: 100);
        LimitRefusal? refusal = account.TryCharge(101, out _);
        Assert.True(refusal!.IsTokens);
        Assert.Equal(TimeSpan.MaxValue, refusal.RetryAfter);
        Assert.Equal(100, Remaining(account, "tokens-minute"));
        Assert.Equal(10, Remaining(account, "requests-minute"));
    }

    [Fact]
    public void A_bucket_refills_continuously_and_never_beyond_its_capacity()
    {
        KeyAccount account = Account(tokensPerMinute: 600);
        Assert.Null(account.TryCharge(600, out _));
        LimitRefusal refusal = account.TryCharge(100, out _)!;
        Assert.Equal("minute", refusal.Period);
        Assert.Equal(10, refusal.RetryAfter.TotalSeconds, 6);
        _time.Advance(TimeSpan.FromSeconds(9.9));
        Assert.NotNull(account.TryCharge(100, out _));
        _time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.Null(account.TryCharge(100, out _));
        _time.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal(600, Remaining(account, "tokens-minute"));
        Assert.Equal(0, account.Snapshot().Single(s => s.Name == "tokens-minute").ResetSeconds);
    }

    [Fact]
    public void The_limit_that_takes_longest_is_the_one_that_is_named()
    {
        var account = new KeyAccount("k", new RateLimits { RequestsPerMinute = 2, RequestsPerDay = 2, TokensPerMinute = 1000, TokensPerDay = 1000 }, _time);
        Assert.Null(account.TryCharge(1, out _));
        Assert.Null(account.TryCharge(1, out _));
        LimitRefusal refusal = account.TryCharge(1, out _)!;
        Assert.False(refusal.IsTokens);
        Assert.Equal("day", refusal.Period);
        Assert.Equal(43_200, refusal.RetryAfter.TotalSeconds, 3);
    }

    [Fact]
    public void An_answer_dearer_than_its_charge_overdraws()
    {
        KeyAccount account = Account(tokensPerMinute: 600);
        Assert.Null(account.TryCharge(600, out LimitCharge charge));
        account.Settle(charge, 700);
        Assert.Equal(0, Remaining(account, "tokens-minute"));
        Assert.Equal(11, account.TryCharge(10, out _)!.RetryAfter.TotalSeconds, 6);
    }

    [Fact]
    public async Task Concurrent_charges_never_exceed_the_limit()
    {
        KeyAccount account = Account(tokensPerMinute: 500, requestsPerMinute: 10_000);
        int granted = 0;
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            for (int i = 0; i < 200; i++)
            {
                if (account.TryCharge(1, out LimitCharge _) is null) Interlocked.Increment(ref granted);
            }
        })));
        Assert.Equal(500, granted);
    }

    private KeyAccount Account(long tokensPerMinute, long requestsPerMinute = 10) =>
        new("k", new RateLimits { RequestsPerMinute = requestsPerMinute, RequestsPerDay = 100_000, TokensPerMinute = tokensPerMinute, TokensPerDay = 1_000_000 }, _time);

    private static long Remaining(KeyAccount account, string name) => account.Snapshot().Single(s => s.Name == name).Remaining;
}
