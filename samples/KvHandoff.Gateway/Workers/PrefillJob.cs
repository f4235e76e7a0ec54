using System.Collections.Immutable;
using System.Diagnostics;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Workers;

/// <summary>A prompt that is computed chunk by chunk, and whose layers are published as far as they are there once the receiver has granted room.</summary>
/// <remarks>The computing thread and the one that hands over meet in <see cref="Wrote"/> and <see cref="Granted"/>.</remarks>
internal sealed class PrefillJob(PrefillRequest request, ImmutableArray<PrefixHash> hashes, int layers, double dueAt, CancellationToken cancellationToken)
{
    private readonly Lock _gate = new();
    private readonly int[] _written = new int[layers];
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<int> _computed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _arrivedAt = Stopwatch.GetTimestamp();
    private OutgoingHandoff? _outgoing;

    public PrefillRequest Request { get; } = request;

    public ImmutableArray<PrefixHash> Hashes { get; } = hashes;

    /// <summary>When it should be done, in seconds of the worker's clock: its arrival and a multiple of the time that it takes.</summary>
    public double DueAt { get; } = dueAt;

    public CancellationToken Cancelled { get; } = cancellationToken;

    /// <summary>Its blocks, from the first chunk on.</summary>
    public KvSequence? Sequence { get; private set; }

    public int CachedTokens { get; private set; }

    public double QueueSeconds { get; private set; }

    public double PromptSeconds { get; set; }

    /// <summary>When computing ended.</summary>
    public long ComputedAt { get; private set; }

    /// <summary>Completes when it has blocks; fails when it never gets any.</summary>
    public Task Begun => _begun.Task;

    /// <summary>Completes with the first token, when the computing thread is done with the blocks, however that ended.</summary>
    public Task<int> Computed => _computed.Task;

    /// <summary>Whether it goes before another: the more urgent, then the one that is due first.</summary>
    public bool GoesBefore(PrefillJob other) => Request.Priority != other.Request.Priority ? Request.Priority > other.Request.Priority : DueAt < other.DueAt;

    public void Begin(KvSequence sequence)
    {
        Sequence = sequence;
        CachedTokens = sequence.Tokens;
        QueueSeconds = Stopwatch.GetElapsedTime(_arrivedAt).TotalSeconds;
        for (int layer = 0; layer < layers; layer++) _written[layer] = sequence.Tokens;
        _begun.TrySetResult();
    }

    /// <summary>The rows of a layer are there, up to so many tokens.</summary>
    public void Wrote(int layer, int tokens)
    {
        Cancelled.ThrowIfCancellationRequested();
        lock (_gate)
        {
            _written[layer] = tokens;
            _outgoing?.Publish(layer, tokens);
        }
    }

    /// <summary>The receiver has room: what is there goes, and what comes as it comes.</summary>
    public void Granted(OutgoingHandoff outgoing)
    {
        lock (_gate)
        {
            _outgoing = outgoing;
            for (int layer = 0; layer < layers; layer++)
            {
                if (_written[layer] > 0) outgoing.Publish(layer, _written[layer]);
            }
        }
    }

    public void Complete(int token)
    {
        ComputedAt = Stopwatch.GetTimestamp();
        _computed.TrySetResult(token);
    }

    public void Fail(Exception failure)
    {
        _begun.TrySetException(failure);
        _computed.TrySetException(failure);
        // Not everybody waits for both.
        _ = (_begun.Task.Exception, _computed.Task.Exception);
    }
}
