using System.Globalization;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>Whether a failed attempt is repeated.</summary>
/// <param name="Wait">How long to wait first; null: it is not repeated.</param>
/// <param name="Reason">What decided.</param>
internal readonly record struct RetryDecision(TimeSpan? Wait, string Reason);

/// <summary>What is known of a failed attempt.</summary>
/// <param name="Status">Null when no reply came.</param>
/// <param name="Error">What failed.</param>
/// <param name="Headers">By lower-case name; empty when no reply came.</param>
/// <param name="RateLimits">As <see cref="RateLimitHeaders.Read"/> gives them.</param>
internal readonly record struct FailedAttempt(int? Status, RequestError Error, IReadOnlyDictionary<string, string> Headers, IReadOnlyDictionary<string, double> RateLimits);

/// <summary>
/// Exponential backoff with full jitter, unless the server names a time; a limit on all waits together; quotas of a day fail at once, because waiting for
/// midnight is no measurement.
/// </summary>
internal sealed class RetryPolicy(int maxAttempts, TimeSpan maxWait, Func<double> random)
{
    internal const double BaseSeconds = 0.5, MostBackoffSeconds = 30;

    internal int MaxAttempts => maxAttempts;

    internal TimeSpan MaxWait => maxWait;

    /// <param name="failed">The attempt.</param>
    /// <param name="attempts">How many there were, this one included.</param>
    /// <param name="waited">All waits of the request before.</param>
    /// <param name="now">Wall clock, for dates in headers.</param>
    internal RetryDecision Decide(FailedAttempt failed, int attempts, TimeSpan waited, DateTimeOffset now)
    {
        failed.Headers.TryGetValue("x-should-retry", out string? should);
        if (should == "false") return new RetryDecision(null, "x-should-retry: false");
        if (should != "true" && !IsRetryable(failed.Status)) return new RetryDecision(null, "not retryable");
        if (IsDayQuota(failed.Error)) return new RetryDecision(null, "day quota");
        if (attempts >= maxAttempts) return new RetryDecision(null, string.Create(CultureInfo.InvariantCulture, $"{maxAttempts} attempts"));
        (double seconds, string reason) = ServerWait(failed, now) ?? (random() * Math.Min(MostBackoffSeconds, BaseSeconds * Math.Pow(2, attempts - 1)), "backoff");
        double left = (maxWait - waited).TotalSeconds;
        if (seconds > left) return new RetryDecision(null, string.Create(CultureInfo.InvariantCulture, $"wait cap: {reason} asks for {seconds:0.###} s and {Math.Max(0, left):0.###} s of {maxWait.TotalSeconds:0.###} s are left"));
        return new RetryDecision(TimeSpan.FromSeconds(seconds), reason);
    }

    /// <summary>No connection, 408, 409, 429 and everything from 500 on.</summary>
    internal static bool IsRetryable(int? status) => status is null or 408 or 409 or 429 or >= 500;

    // Both quotas of Cerebras say the window in their message only; OpenAI's has a code of its own.
    private static bool IsDayQuota(RequestError error) =>
        error.Code is "request_quota_exceeded" or "token_quota_exceeded" && error.Message.Contains("per day", StringComparison.OrdinalIgnoreCase) || error.Code is "insufficient_quota";

    private static (double Seconds, string Reason)? ServerWait(FailedAttempt failed, DateTimeOffset now)
    {
        if (failed.Headers.TryGetValue("retry-after-ms", out string? milliseconds) && Number(milliseconds) is { } ms) return (ms / 1e3, $"retry-after-ms: {milliseconds}");
        if (failed.Headers.TryGetValue("retry-after", out string? after))
        {
            if (Number(after) is { } seconds) return (seconds, $"retry-after: {after}");
            if (DateTimeOffset.TryParse(after, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset date)) return (Math.Max(0, (date - now).TotalSeconds), $"retry-after: {after}");
        }

        return failed.Status == 429 ? Reset(failed) : null;
    }

    // Windows with nothing left decide, the longest of them; else the window that the message names; else the shortest.
    private static (double Seconds, string Reason)? Reset(FailedAttempt failed)
    {
        const string ResetPrefix = "reset-", RemainingPrefix = "remaining-";
        (string Window, double Seconds)[] resets = [.. failed.RateLimits.Where(l => l.Key.StartsWith(ResetPrefix, StringComparison.Ordinal)).Select(l => (l.Key[ResetPrefix.Length..], l.Value))];
        if (resets.Length == 0) return null;
        (string Window, double Seconds)[] empty = [.. resets.Where(r => failed.RateLimits.TryGetValue(RemainingPrefix + r.Window, out double left) && left <= 0)];
        (string Window, double Seconds) chosen;
        if (empty.Length > 0) chosen = empty.MaxBy(r => r.Seconds);
        else
        {
            (string Window, double Seconds)[] named = [.. resets.Where(r => Names(failed.Error, r.Window))];
            chosen = (named.Length > 0 ? named : resets).MinBy(r => r.Seconds);
        }

        return (chosen.Seconds, string.Create(CultureInfo.InvariantCulture, $"x-ratelimit-reset-{chosen.Window}: {chosen.Seconds}"));
    }

    // "requests-minute" against "Requests per minute limit exceeded".
    private static bool Names(RequestError error, string window)
    {
        string[] parts = window.Split('-');
        return parts.Length == 2 && error.Message.Contains($"{parts[0]} per {parts[1]}", StringComparison.OrdinalIgnoreCase);
    }

    private static double? Number(string text) => double.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) ? number : null;
}
