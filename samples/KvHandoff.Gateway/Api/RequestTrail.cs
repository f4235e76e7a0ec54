using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary>What the gateway knows of a request in hand; kept beside the HTTP context.</summary>
internal sealed class RequestTrail
{
    private static readonly object Place = new();

    private const int MaxClientIdCharacters = 128;

    /// <summary>Name of the request in logs, traces and offers: this gateway's own.</summary>
    internal string RequestId { get; } = "req-" + Guid.NewGuid().ToString("N");

    /// <summary>The client's own name for it, where that is one, else this gateway's.</summary>
    internal string EchoedId(HttpRequest request) =>
        request.Headers["x-request-id"].ToString() is { Length: > 0 and <= MaxClientIdCharacters } id && id.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.') ? id : RequestId;

    /// <summary>Whose request it is; null where no valid key came with it.</summary>
    internal KeyAccount? Key { get; set; }

    /// <summary>Whether metrics count it: the gateway's own requests are none of its clients'.</summary>
    internal bool IsCounted => Key is not { IsOwn: true };

    /// <summary>Its course, from the moment it was admitted.</summary>
    internal RequestAccount? Account { get; set; }

    /// <summary>Tokens that were passed on.</summary>
    internal int TokensSent { get; set; }

    /// <summary>What ended a stream after its status was sent.</summary>
    internal ApiError? StreamError { get; set; }

    /// <summary>The failure that the log has to have, where the client is told no more than that there is one.</summary>
    internal Exception? Unexpected { get; set; }

    internal static RequestTrail Of(HttpContext context)
    {
        if (context.Items.TryGetValue(Place, out object? trail)) return (RequestTrail)trail!;
        var fresh = new RequestTrail();
        context.Items[Place] = fresh;
        return fresh;
    }
}
