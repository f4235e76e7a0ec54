namespace KvHandoff.Gateway.Limits;

/// <summary>What one API key may ask for; each limit refills continuously. Defaults are far above what one machine serves.</summary>
internal sealed record RateLimits
{
    /// <summary>Greatest limit of any kind.</summary>
    internal const long Most = 1_000_000_000_000;

    internal long RequestsPerMinute { get; init; } = 60_000;

    internal long RequestsPerDay { get; init; } = 10_000_000;

    internal long TokensPerMinute { get; init; } = 60_000_000;

    internal long TokensPerDay { get; init; } = 10_000_000_000;
}

/// <summary>One limit as reply headers show it.</summary>
/// <param name="Name">"requests-day" and so on.</param>
/// <param name="Limit">Capacity.</param>
/// <param name="Remaining">Left now.</param>
/// <param name="ResetSeconds">Until it is full again.</param>
internal readonly record struct LimitState(string Name, long Limit, long Remaining, double ResetSeconds);

/// <summary>Which limit a request would exceed.</summary>
/// <param name="IsTokens">Tokens, else requests.</param>
/// <param name="Period">"minute" or "day".</param>
/// <param name="RetryAfter">When it would pass; <see cref="TimeSpan.MaxValue"/>: never, it is greater than the whole limit.</param>
internal sealed record LimitRefusal(bool IsTokens, string Period, TimeSpan RetryAfter);

/// <summary>What was taken from an account for a request, until it is settled.</summary>
internal readonly record struct LimitCharge(long Tokens);
