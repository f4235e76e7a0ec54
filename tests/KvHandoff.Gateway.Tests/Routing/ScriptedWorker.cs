using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Tests.Routing;

/// <summary>
/// A worker that does what a test tells it, for faults that real workers cannot be made to show. Left alone it answers every request with
/// <see cref="Answer"/>.
/// </summary>
internal sealed class ScriptedWorker(string name, Phase phases) : IWorker
{
    internal static readonly int[] Answer = [.. "And it came to pass."u8.ToArray().Select(b => (int)b)];

    public string Name => name;

    internal WorkerStatus Status { get; set; } = new()
    {
        Name = name,
        Phases = phases,
        Pool = "default",
        Model = "scripted",
        ModelRevision = "revision-one",
        HandoffEndpoint = phases == Phase.Prefill ? null : "tcp://127.0.0.1:1",
        ContextTokens = 4096,
        KvBytesPerToken = 1024,
        CacheTokens = 100_000,
        FreeTokens = 100_000,
        Running = 0,
        Waiting = 0,
    };

    /// <summary>Set: its status cannot be had.</summary>
    internal WorkerException? StatusFailure { get; set; }

    internal Func<PrefillRequest, CancellationToken, Task<PrefillResult>>? OnPrefill { get; set; }

    internal Func<DecodeRequest, CancellationToken, IAsyncEnumerable<DecodeEvent>>? OnDecode { get; set; }

    internal Func<GenerateRequest, CancellationToken, IAsyncEnumerable<DecodeEvent>>? OnGenerate { get; set; }

    internal ConcurrentQueue<PrefillRequest> Prefills { get; } = new();

    internal ConcurrentQueue<DecodeRequest> Decodes { get; } = new();

    internal ConcurrentQueue<GenerateRequest> Generates { get; } = new();

    internal IReadOnlyList<WorkerPeer>? Peers { get; private set; }

    /// <summary>Requests that are in hand.</summary>
    internal int Open => Volatile.Read(ref _open);

    private int _open;

    public Task<WorkerStatus> StatusAsync(CancellationToken cancellationToken) => StatusFailure is { } failure ? Task.FromException<WorkerStatus>(failure) : Task.FromResult(Status);

    public async Task<PrefillResult> PrefillAsync(PrefillRequest request, CancellationToken cancellationToken)
    {
        Prefills.Enqueue(request);
        Interlocked.Increment(ref _open);
        try
        {
            return OnPrefill is { } script ? await script(request, cancellationToken) : Done();
        }
        finally
        {
            Interlocked.Decrement(ref _open);
        }
    }

    public IAsyncEnumerable<DecodeEvent> DecodeAsync(DecodeRequest request, CancellationToken cancellationToken)
    {
        Decodes.Enqueue(request);
        return CountedAsync(OnDecode?.Invoke(request, cancellationToken) ?? TextAsync(Answer), cancellationToken);
    }

    public IAsyncEnumerable<DecodeEvent> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken)
    {
        Generates.Enqueue(request);
        return CountedAsync(OnGenerate?.Invoke(request, cancellationToken) ?? TextAsync(Answer), cancellationToken);
    }

    public Task SetPeersAsync(IReadOnlyList<WorkerPeer> peers, CancellationToken cancellationToken)
    {
        Peers = peers;
        return Task.CompletedTask;
    }

    internal static PrefillResult Done() => new(0.001, 0.002, 0, 1000, 500, 0.0005, new Dictionary<string, double> { ["wire"] = 0.0004 });

    internal WorkerException Fails(WorkerFailure failure) => new(failure, name, "scripted");

    /// <summary>A whole answer, token by token, or in pieces of some length.</summary>
    internal static async IAsyncEnumerable<DecodeEvent> TextAsync(int[] tokens, int piece = 1, string reason = "length")
    {
        yield return new DecodeStarted(0.0001, 0, 0);
        for (int i = 0; i < tokens.Length; i += piece)
        {
            await Task.Yield();
            yield return new DecodeTokens(tokens[i..Math.Min(i + piece, tokens.Length)]);
        }

        yield return new DecodeFinished(reason, tokens.Length, 0.003, 0.0002, 0);
    }

    /// <summary>The beginning of an answer, and then a failure.</summary>
    internal static async IAsyncEnumerable<DecodeEvent> BrokenAsync(int[] tokens, Exception failure, bool isStarted = true)
    {
        if (isStarted) yield return new DecodeStarted(0, 0, 0);
        foreach (int token in tokens)
        {
            await Task.Yield();
            yield return new DecodeTokens([token]);
        }

        await Task.Yield();
        throw failure;
    }

    /// <summary>The beginning of an answer, and then nothing.</summary>
    internal static async IAsyncEnumerable<DecodeEvent> SilentAsync(int[] tokens, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        yield return new DecodeStarted(0, 0, 0);
        foreach (int token in tokens) yield return new DecodeTokens([token]);
        await Task.Delay(Timeout.Infinite, cancellationToken);
    }

    private async IAsyncEnumerable<DecodeEvent> CountedAsync(IAsyncEnumerable<DecodeEvent> events, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _open);
        try
        {
            await foreach (DecodeEvent said in events.WithCancellation(cancellationToken)) yield return said;
        }
        finally
        {
            Interlocked.Decrement(ref _open);
        }
    }
}
