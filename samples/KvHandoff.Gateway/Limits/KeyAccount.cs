namespace KvHandoff.Gateway.Limits;

/// <summary>The limits of one API key and what is left of them. Thread-safe.</summary>
internal sealed class KeyAccount(string name, RateLimits limits, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly TokenBucket _requestsMinute = new(limits.RequestsPerMinute, TimeSpan.FromMinutes(1), time), _requestsDay = new(limits.RequestsPerDay, TimeSpan.FromDays(1), time);
    private readonly TokenBucket _tokensMinute = new(limits.TokensPerMinute, TimeSpan.FromMinutes(1), time), _tokensDay = new(limits.TokensPerDay, TimeSpan.FromDays(1), time);

    /// <summary>Name of the key's holder; never the key.</summary>
    internal string Name => name;

    /// <summary>Whether its requests are the gateway's own, which no metric counts.</summary>
    internal bool IsOwn { get; init; }

    /// <summary>
    /// Takes a request and all the tokens it may come to, or takes nothing and says which limit is in the way: the one that takes longest to
    /// have room.
    /// </summary>
    internal LimitRefusal? TryCharge(long tokens, out LimitCharge charge)
    {
        charge = default;
        lock (_gate)
        {
            LimitRefusal? refusal = null;
            Check(_requestsMinute, 1, isTokens: false, "minute", ref refusal);
            Check(_tokensMinute, tokens, isTokens: true, "minute", ref refusal);
            Check(_requestsDay, 1, isTokens: false, "day", ref refusal);
            Check(_tokensDay, tokens, isTokens: true, "day", ref refusal);
            if (refusal is not null) return refusal;
            _requestsMinute.Take(1);
            _requestsDay.Take(1);
            _tokensMinute.Take(tokens);
            _tokensDay.Take(tokens);
        }

        charge = new LimitCharge(tokens);
        return null;
    }

    /// <summary>Gives back what the request did not use. Called once per charge.</summary>
    internal void Settle(LimitCharge charge, long usedTokens)
    {
        lock (_gate)
        {
            _tokensMinute.Take(usedTokens - charge.Tokens);
            _tokensDay.Take(usedTokens - charge.Tokens);
        }
    }

    /// <summary>All limits, now.</summary>
    internal LimitState[] Snapshot()
    {
        lock (_gate)
        {
            return [State("requests-minute", _requestsMinute), State("requests-day", _requestsDay), State("tokens-minute", _tokensMinute), State("tokens-day", _tokensDay)];
        }
    }

    private static LimitState State(string name, TokenBucket bucket) => new(name, bucket.Capacity, bucket.Remaining, bucket.UntilFull.TotalSeconds);

    private static void Check(TokenBucket bucket, long amount, bool isTokens, string period, ref LimitRefusal? refusal)
    {
        TimeSpan wait = bucket.Until(amount);
        if (wait > TimeSpan.Zero && (refusal is null || wait > refusal.RetryAfter)) refusal = new LimitRefusal(isTokens, period, wait);
    }
}
