using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Which attempts are repeated and after how long, over real sockets with waits that take no time.</summary>
public sealed class RetryTests
{
    private static readonly DateTimeOffset Now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData("retry-after", "3", 3)]
    [InlineData("retry-after", "2.5", 2.5)]
    [InlineData("retry-after", "Sun, 01 Mar 2026 12:00:07 GMT", 7)]
    [InlineData("retry-after", "Sun, 01 Mar 2026 11:00:00 GMT", 0)]
    [InlineData("retry-after-ms", "250", 0.25)]
    [InlineData("x-ratelimit-reset-tokens-minute", "11.382867", 11.382867)]
    [InlineData("x-ratelimit-reset-requests", "6m0.5s", 360.5)]
    [InlineData("x-ratelimit-reset-requests", "20ms", 0.02)]
    [InlineData("retry-after", "soon", 0.5)]
    public async Task TheServersTimeIsKept(string header, string value, double expected)
    {
        await using var bench = new EndpointBench(r => r.Number == 1 ? Reply.TooMany().Header(header, value) : Reply.Tokens(3), maxWaitSeconds: 1000, now: Now);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal(Outcomes.Ok, r.Outcome);
        Assert.Equal(expected, Assert.Single(bench.Waits), 1e-6);
        Assert.Equal(expected, r.Client.RetryWaitSeconds!.Value, 1e-6);
        Assert.Equal(2, r.Attempts.Count);
        Assert.Equal((429, "429 request_quota_exceeded"), (r.Attempts[0].Status, r.Attempts[0].Error!.Label));
        Assert.StartsWith(value == "soon" ? "backoff" : header, r.Attempts[0].WaitReason);
        Assert.Equal(expected, r.Attempts[0].WaitSeconds!.Value, 1e-6);
        Assert.Null(r.Attempts[1].WaitReason);
    }

    [Fact]
    public async Task MoreExactHeadersGoFirst()
    {
        await using var bench = new EndpointBench(r => r.Number == 1 ? Reply.TooMany().Header("retry-after", "9").Header("retry-after-ms", "1500").Header("x-ratelimit-reset-requests-minute", "4") : Reply.Tokens(1), now: Now);
        await bench.SendAsync();
        Assert.Equal([1.5], bench.Waits);
    }

    [Theory]
    // The window with nothing left decides, not the shortest.
    [InlineData("Requests per minute limit exceeded", 0, 100, 20)]
    // None is empty: the one that the message names.
    [InlineData("Tokens per minute limit exceeded", 5, 100, 30)]
    // Nothing names one: the shortest.
    [InlineData("Slow down", 5, 100, 20)]
    public async Task OfSeveralWindowsTheExhaustedOneCounts(string message, int requestsLeft, int tokensLeft, double expected)
    {
        await using var bench = new EndpointBench(r => r.Number == 1
            ? Reply.TooMany(message).Header("x-ratelimit-remaining-requests-minute", $"{requestsLeft}").Header("x-ratelimit-remaining-tokens-minute", $"{tokensLeft}").Header("x-ratelimit-reset-requests-minute", "20").Header("x-ratelimit-reset-tokens-minute", "30")
            : Reply.Tokens(1), now: Now);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal([expected], bench.Waits);
        Assert.Equal((requestsLeft, 30), (r.Attempts[0].RateLimits["remaining-requests-minute"], r.Attempts[0].RateLimits["reset-tokens-minute"]));
    }

    [Theory]
    [InlineData("Tokens per day limit exceeded - too many tokens processed.", "token_quota_exceeded", "day quota")]
    [InlineData("Requests per day limit exceeded - too many requests sent.", "request_quota_exceeded", "day quota")]
    [InlineData("You exceeded your current quota", "insufficient_quota", "day quota")]
    public async Task ADayQuotaFailsAtOnce(string message, string code, string reason)
    {
        await using var bench = new EndpointBench(_ => Reply.TooMany(message, code).Header("retry-after", "1"), now: Now);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Error, "429 " + code, reason), (r.Outcome, r.Error!.Label, r.Attempts[^1].WaitReason));
        Assert.Single(r.Attempts);
        Assert.Empty(bench.Waits);
    }

    [Fact]
    public async Task AResetBeyondTheCapFailsAtOnce()
    {
        await using var bench = new EndpointBench(_ => Reply.TooMany("Too many", "other").Header("x-ratelimit-remaining-requests-day", "0").Header("x-ratelimit-reset-requests-day", "33011.382867"), now: Now);
        RequestRecord r = await bench.SendAsync();
        Assert.Empty(bench.Waits);
        Assert.Contains("wait cap", r.Attempts[^1].WaitReason);
        Assert.Contains("33011.383 s", r.Attempts[^1].WaitReason);
    }

    [Fact]
    public async Task AllWaitsTogetherStayBelowTheCap()
    {
        await using var bench = new EndpointBench(_ => Reply.TooMany().Header("retry-after", "50"), attempts: 20, maxWaitSeconds: 120, now: Now);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal([50, 50], bench.Waits);
        Assert.Equal((Outcomes.Error, 3), (r.Outcome, r.Attempts.Count));
        Assert.Contains("20 s of 120 s are left", r.Attempts[^1].WaitReason);
        Assert.Equal(100, r.Client.RetryWaitSeconds);
    }

    [Theory]
    [InlineData(408)]
    [InlineData(409)]
    [InlineData(500)]
    [InlineData(503)]
    [InlineData(0)]
    public async Task PassingFailuresBackOffExponentially(int status)
    {
        await using var bench = new EndpointBench(r => r.Number <= 3 ? status == 0 ? Reply.Dropped() : Reply.Json(status, """{"message":"later"}""") : Reply.Tokens(2));
        RequestRecord r = await bench.SendAsync();
        Assert.Equal(Outcomes.Ok, r.Outcome);
        // Full jitter drawn at its upper bound.
        Assert.Equal([0.5, 1, 2], bench.Waits);
        Assert.All(r.Attempts.Take(3), a => Assert.Equal("backoff", a.WaitReason));
        if (status == 0) Assert.All(r.Attempts.Take(3), a => Assert.Null(a.Status));
    }

    [Fact]
    public async Task AttemptsAreLimited()
    {
        await using var bench = new EndpointBench(_ => Reply.Json(503, "{}"), attempts: 3);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Error, 3, "3 attempts"), (r.Outcome, r.Attempts.Count, r.Attempts[^1].WaitReason));
        Assert.Equal(3, bench.Server.Posts.Count);
    }

    [Theory]
    [InlineData(400)]
    [InlineData(401)]
    [InlineData(402)]
    [InlineData(403)]
    [InlineData(404)]
    [InlineData(422)]
    public async Task OwnFaultsAreNotRepeated(int status)
    {
        await using var bench = new EndpointBench(_ => Reply.Json(status, """{"message":"no"}""").Header("retry-after", "1"));
        Assert.Single((await bench.SendAsync()).Attempts);
    }

    [Fact]
    public async Task TheServersWordOnRepeatingCounts()
    {
        await using var no = new EndpointBench(_ => Reply.Json(503, "{}").Header("x-should-retry", "false"));
        Assert.Single((await no.SendAsync()).Attempts);
        await using var yes = new EndpointBench(r => r.Number == 1 ? Reply.Json(400, "{}").Header("x-should-retry", "true") : Reply.Tokens(1));
        Assert.Equal(2, (await yes.SendAsync()).Attempts.Count);
    }

    [Fact]
    public async Task AnUnreachableServerIsAConnectError()
    {
        string address;
        await using (var gone = new ScriptedServer(_ => Reply.Tokens(1))) address = gone.Address;
        await using var bench = new EndpointBench(_ => Reply.Tokens(1), attempts: 2, address: address);
        RequestRecord r = await bench.SendAsync();
        Assert.Equal((Outcomes.Error, "connect", 2), (r.Outcome, r.Error!.Label, r.Attempts.Count));
        Assert.Equal([0.5], bench.Waits);
    }

    [Fact]
    public void BackoffHasFullJitterAndACeiling()
    {
        var random = new Random(3);
        var policy = new RetryPolicy(100, TimeSpan.FromHours(10), random.NextDouble);
        var failed = new FailedAttempt(503, new RequestError { Label = "503", Message = "" }, new Dictionary<string, string>(), new Dictionary<string, double>());
        double[] first = [.. Enumerable.Range(0, 4000).Select(_ => policy.Decide(failed, 1, TimeSpan.Zero, Now).Wait!.Value.TotalSeconds)], late = [.. Enumerable.Range(0, 4000).Select(_ => policy.Decide(failed, 20, TimeSpan.Zero, Now).Wait!.Value.TotalSeconds)];
        Assert.InRange(first.Max(), 0.49, RetryPolicy.BaseSeconds);
        Assert.InRange(first.Min(), 0, 0.01);
        Assert.InRange(first.Average(), 0.235, 0.265);
        Assert.InRange(late.Max(), 29, RetryPolicy.MostBackoffSeconds);
    }

    [Theory]
    [InlineData("0", 0.0)]
    [InlineData("11.382867", 11.382867)]
    [InlineData("1s", 1.0)]
    [InlineData("1m30s", 90.0)]
    [InlineData("2h0.5s", 7200.5)]
    [InlineData("1d", 86400.0)]
    [InlineData("500ms", 0.5)]
    [InlineData("", null)]
    [InlineData("-1", null)]
    [InlineData("1x", null)]
    [InlineData("s", null)]
    [InlineData("1..2s", null)]
    [InlineData("NaN", null)]
    [InlineData("1e400", null)]
    public void DurationsAreReadOrRefused(string text, double? expected) => Assert.Equal(expected, RateLimitHeaders.ParseDuration(text));
}
