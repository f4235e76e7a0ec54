using System.Text.Json;
using System.Text.Json.Serialization;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// How a worker is asked over HTTP/1.1: JSON in, lines of JSON out. An answer that takes time is 200 at once; empty lines come while there is
/// nothing to say, and the last line is the result or the failure.
/// </summary>
internal static class WorkerWire
{
    public const string Status = "/status", Prefill = "/prefill", Decode = "/decode", Generate = "/generate", Peers = "/peers";

    /// <summary>Scheme of the Authorization header.</summary>
    public const string Scheme = "KvHandoff-Worker";

    public const string LinesType = "application/x-ndjson";

    /// <summary>Longest request: a prompt of two million tokens.</summary>
    public const long MaxRequestBytes = 32L << 20;

    /// <summary>Requests that may wait at one worker; more are told that it is busy.</summary>
    public const int MaxWaiting = 4096;

    /// <summary>Longest line of an answer.</summary>
    public const int MaxLineBytes = 4 << 20;

    /// <summary>How often a worker shows that it lives, and how long its caller waits for that.</summary>
    public static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(1), Silence = TimeSpan.FromSeconds(8);

    public static JsonSerializerOptions Json { get; } = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter() },
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        MaxDepth = 16,
    };

    /// <summary>Status code of a failure that is known before the answer begins.</summary>
    public static int CodeOf(WorkerFailure failure) => failure switch
    {
        WorkerFailure.Invalid or WorkerFailure.TooLong => StatusCodes.Status400BadRequest,
        WorkerFailure.Busy => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status500InternalServerError,
    };
}

/// <summary>The last line of a prefill.</summary>
internal sealed record PrefillReply(PrefillResult? Result, DecodeFailed? Failure);
