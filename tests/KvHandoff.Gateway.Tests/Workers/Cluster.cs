using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Workers;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Tests.Workers;

/// <summary>Workers with real servers on Unix sockets and real receivers, asked as the gateway asks them.</summary>
internal sealed class Cluster(ReferenceText reference) : IAsyncDisposable
{
    private const int DeadlineMilliseconds = 60_000;

    private readonly string _directory = Directory.CreateTempSubdirectory("kvh-gw-").FullName;
    private readonly List<IAsyncDisposable> _owned = [];

    internal WorkerKey Key { get; } = new(WorkerKey.Create());

    /// <summary>Starts a worker and gives the side of it that callers see.</summary>
    internal async Task<Seat> StartAsync(string name, Phase phases, Func<WorkerOptions, WorkerOptions>? change = null)
    {
        var options = new WorkerOptions { Name = name, Phases = phases, ControlAddress = Address(name), CacheTokens = 8192, BatchSize = 32, Threads = 1 };
        options = change?.Invoke(options) ?? options;
        LocalWorker local = await LocalWorker.StartAsync(options, reference.Model, Key);
        WorkerServer server = await WorkerServer.StartAsync(local, options.ControlAddress, Key);
        var remote = new HttpWorker(name, server.Address, Key);
        var seat = new Seat(local, server, remote);
        _owned.Add(seat);
        return seat;
    }

    internal string Address(string name) => $"unix://{_directory}/{name}.sock";

    /// <summary>The prefill and the decode request of one text, with a ticket for them.</summary>
    internal (PrefillRequest Prefill, DecodeRequest Decode) Request(Seat from, Seat to, int[] prompt, int maxTokens, SamplingOptions? sampling = null, int[][]? stop = null, int priority = 0, int deadlineMilliseconds = DeadlineMilliseconds)
    {
        Guid id = Guid.NewGuid();
        string requestId = $"test-{id:n}";
        HandoffTicket ticket = HandoffTicket.Issue(Key.Ring, new TicketClaims { Audience = to.Name, Sender = from.Name, HandoffId = id, MaxKvBytes = prompt.Length * to.Local.Cache.BytesPerToken });
        return (new PrefillRequest
        {
            RequestId = requestId,
            HandoffId = id,
            TargetName = to.Name,
            TargetEndpoint = to.Local.HandoffEndpoint!,
            Ticket = ticket.Encoded.ToArray(),
            Prompt = prompt,
            Sampling = sampling ?? new SamplingOptions(),
            Priority = priority,
            DeadlineMilliseconds = deadlineMilliseconds,
        }, new DecodeRequest
        {
            RequestId = requestId,
            HandoffId = id,
            MaxTokens = maxTokens,
            Stop = stop ?? [],
            Sampling = sampling ?? new SamplingOptions(),
            Priority = priority,
            DeadlineMilliseconds = deadlineMilliseconds,
        });
    }

    /// <summary>Prefills at one worker and decodes at another.</summary>
    internal async Task<Text> HandedAsync(Seat from, Seat to, int[] prompt, int maxTokens, SamplingOptions? sampling = null, int[][]? stop = null, int priority = 0, CancellationToken cancellationToken = default)
    {
        (PrefillRequest prefill, DecodeRequest decode) = Request(from, to, prompt, maxTokens, sampling, stop, priority);
        // One that fails ends the other, as it does at the gateway.
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<PrefillResult> sent = from.Remote.PrefillAsync(prefill, either.Token);
        Task<Text> read = Text.ReadAsync(to.Remote.DecodeAsync(decode, either.Token));
        Task first = await Task.WhenAny(sent, read);
        if (!first.IsCompletedSuccessfully) await either.CancelAsync();
        await Task.WhenAll(sent, read).ContinueWith(_ => { }, TaskScheduler.Default);
        await first;
        return await read with { Prefill = await sent };
    }

    /// <summary>Both phases in one worker.</summary>
    internal static Task<Text> MonolithicAsync(Seat at, int[] prompt, int maxTokens, SamplingOptions? sampling = null, int[][]? stop = null, CancellationToken cancellationToken = default) =>
        Text.ReadAsync(at.Remote.GenerateAsync(new GenerateRequest { RequestId = "test", Prompt = prompt, MaxTokens = maxTokens, Sampling = sampling ?? new SamplingOptions(), Stop = stop ?? [] }, cancellationToken));

    public async ValueTask DisposeAsync()
    {
        for (int i = _owned.Count - 1; i >= 0; i--) await _owned[i].DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }
}

/// <summary>A worker: in this process, its server, and its caller's side.</summary>
internal sealed record Seat(LocalWorker Local, WorkerServer Server, HttpWorker Remote) : IAsyncDisposable
{
    private bool _disposed;

    internal string Name => Local.Name;

    /// <summary>Waits until nothing of any request is left: all room is free and nothing runs or waits.</summary>
    internal async Task<WorkerStatus> IdleAsync()
    {
        for (int i = 0; ; i++)
        {
            WorkerStatus status = await Remote.StatusAsync(CancellationToken.None);
            if (status is { Running: 0, Waiting: 0 } && status.FreeTokens == status.CacheTokens) return status;
            Assert.True(i < 500, $"{Name} is not idle: {status}");
            await Task.Delay(20);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposed) return;
        _disposed = true;
        await Remote.DisposeAsync();
        await Server.DisposeAsync();
        await Local.DisposeAsync();
    }
}

/// <summary>All that a stream said.</summary>
internal sealed record Text(DecodeStarted Started, int[] Tokens, DecodeFinished Finished)
{
    internal PrefillResult? Prefill { get; init; }

    internal static async Task<Text> ReadAsync(IAsyncEnumerable<DecodeEvent> events)
    {
        var tokens = new List<int>();
        DecodeStarted? started = null;
        DecodeFinished? finished = null;
        await foreach (DecodeEvent told in events)
        {
            Assert.Null(finished);
            switch (told)
            {
                case DecodeStarted first:
                    Assert.Null(started);
                    started = first;
                    break;
                case DecodeTokens some:
                    Assert.NotNull(started);
                    Assert.NotEmpty(some.Tokens);
                    tokens.AddRange(some.Tokens);
                    break;
                case DecodeFinished last:
                    finished = last;
                    break;
            }
        }

        Assert.NotNull(finished);
        return new Text(started!, [.. tokens], finished);
    }
}
