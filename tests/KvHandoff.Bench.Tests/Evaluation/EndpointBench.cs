using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>A sender at a scripted server, whose waits take no time and are written down.</summary>
internal sealed class EndpointBench : IAsyncDisposable
{
    private readonly EndpointConnection _connection;
    private readonly RequestSender _sender;
    private readonly bool _stream;
    private int _sent;

    internal EndpointBench(Func<ScriptedRequest, Reply> script, bool stream = true, int attempts = 5, double maxWaitSeconds = 120, double timeoutSeconds = 20, SseLimits? limits = null, DateTimeOffset? now = null, string? address = null)
    {
        Server = new ScriptedServer(script);
        _stream = stream;
        DateTimeOffset start = now ?? DateTimeOffset.UtcNow;
        Clock = new RunClock((time, cancellationToken) =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            Waits.Add(time.TotalSeconds);
            return Task.CompletedTask;
        }, () => start);
        _connection = new EndpointConnection(EndpointAddress.Parse(address ?? Server.Address), null);
        // The jitter's full width: a backoff is its upper bound.
        _sender = new RequestSender(_connection, Clock, new RetryPolicy(attempts, TimeSpan.FromSeconds(maxWaitSeconds), () => 1), TimeSpan.FromSeconds(timeoutSeconds), stream, limits);
    }

    internal ScriptedServer Server { get; }

    internal RunClock Clock { get; }

    internal List<double> Waits { get; } = [];

    internal Task<RequestRecord> SendAsync(CancellationToken cancellationToken = default)
    {
        ChatRequest request = ChatRequest.Create(new ChatFormat("scripted-model", _stream, 0, true, "max_completion_tokens"), "short_input_short_output", "Hello", 16);
        return _sender.SendAsync(request, new RequestPlace($"test-{++_sent}", 0, "default", 0, Outcomes.Measured, 0, 0, RunClock.Ticks), cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        _connection.Dispose();
        await Server.DisposeAsync();
    }
}
