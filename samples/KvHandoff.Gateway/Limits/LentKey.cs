using System.Security.Cryptography;

namespace KvHandoff.Gateway.Limits;

/// <summary>A key of this process's own, made up at random, without limits and counted nowhere; unknown again once it is disposed.</summary>
internal sealed class LentKey : IDisposable
{
    private readonly Action<LentKey> _giveBack;

    internal LentKey(Action<LentKey> giveBack)
    {
        _giveBack = giveBack;
        Text = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        var none = new RateLimits { RequestsPerMinute = RateLimits.Most, RequestsPerDay = RateLimits.Most, TokensPerMinute = RateLimits.Most, TokensPerDay = RateLimits.Most };
        Account = new KeyAccount("own", none, TimeProvider.System) { IsOwn = true };
    }

    /// <summary>What a request's Authorization header carries after "Bearer ".</summary>
    internal string Text { get; }

    internal KeyAccount Account { get; }

    /// <summary>The key is unknown from here on.</summary>
    public void Dispose() => _giveBack(this);
}
