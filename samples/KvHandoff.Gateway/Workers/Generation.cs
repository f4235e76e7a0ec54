using System.Collections.Immutable;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// A request that generates. Its state is its tokens: whatever of their rows is missing in the cache is computed again, the prompt's by
/// prefill and the others by decode steps, so that the rows have the same bits as before.
/// </summary>
/// <remarks>Belongs to the decoding thread, or while <see cref="IsAway"/> to whoever hands it over; <see cref="Events"/>, <see cref="Cancel"/> and <see cref="Freed"/> are for any thread.</remarks>
internal sealed class Generation
{
    private readonly Channel<DecodeEvent> _events = Channel.CreateUnbounded<DecodeEvent>(new UnboundedChannelOptions { SingleReader = true });
    private readonly TaskCompletionSource _freed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _cancelled = new();
    private readonly List<int> _completion = [];
    private readonly long _arrivedAt = Stopwatch.GetTimestamp();
    private long _joinedAt, _startedAt, _stepAt;
    private double _firstStepSeconds;
    private bool _isStarted;

    public required string RequestId { get; init; }

    public required int[] Prompt { get; init; }

    public required int MaxTokens { get; init; }

    public required SamplingOptions Sampling { get; init; }

    /// <summary>As the client gave them; <see cref="Stops"/> has the model's end tokens too.</summary>
    public required int[][] StopTokens { get; init; }

    public required StopSequences Stops { get; init; }

    public required int Priority { get; init; }

    /// <summary>Hashes of the prompt's whole granules.</summary>
    public required ImmutableArray<PrefixHash> Hashes { get; init; }

    /// <summary>Another worker's, which relays: it is not handed on.</summary>
    public bool IsGuest { get; init; }

    /// <summary>Told how long the first step took.</summary>
    public Action<TimeSpan>? FirstStep { get; init; }

    /// <summary>Place in the order of arrival.</summary>
    public long Order { get; set; }

    /// <summary>Its blocks; null while it has none.</summary>
    public KvSequence? Sequence { get; set; }

    /// <summary>Prompt tokens that were in the cache.</summary>
    public int CachedTokens { get; set; }

    public double PromptSeconds { get; set; }

    /// <summary>Being handed to another worker, or generated there.</summary>
    public bool IsAway { get; set; }

    public int Preemptions { get; set; }

    /// <summary>Tokens that the client was told.</summary>
    public int Told { get; private set; }

    public ReadOnlySpan<int> Completion => CollectionsMarshal.AsSpan(_completion);

    /// <summary>Rows that are in the cache.</summary>
    public int Rows => Sequence?.Tokens ?? 0;

    /// <summary>Tokens whose rows a next decode step needs in the cache, its own included.</summary>
    public int KnownTokens => Prompt.Length + _completion.Count;

    public bool NeedsPrompt => Rows < Prompt.Length;

    /// <summary>The token whose row comes next; past the prompt.</summary>
    public int NextToken => _completion[Rows - Prompt.Length];

    /// <summary>Whether the row of the last known token is what comes next, so that its logits choose a new token.</summary>
    public bool IsAtEnd => Rows + 1 == KnownTokens;

    public bool IsEnded { get; private set; }

    public bool IsCancelled => _cancelled.IsCancellationRequested;

    public CancellationToken Cancelled => _cancelled.Token;

    /// <summary>What the client is told, in order; ends with the finish or throws a <see cref="WorkerException"/>.</summary>
    public ChannelReader<DecodeEvent> Events => _events.Reader;

    /// <summary>Completes when its blocks are free.</summary>
    public Task Freed => _freed.Task;

    /// <summary>Gives it up; the loop has to be woken.</summary>
    public void Cancel() => _cancelled.Cancel();

    /// <summary>It has a place in the batch.</summary>
    public void Join()
    {
        if (_joinedAt == 0) _joinedAt = Stopwatch.GetTimestamp();
    }

    /// <summary>What was generated before it came here; <paramref name="told"/> of it the client knows.</summary>
    public void Seed(ReadOnlySpan<int> tokens, int told)
    {
        foreach (int token in tokens) _completion.Add(token);
        Told = told;
    }

    /// <summary>The rows of the prompt are there, and it has a place: generating begins.</summary>
    public void Begin()
    {
        if (_isStarted) return;
        _isStarted = true;
        _startedAt = Stopwatch.GetTimestamp();
        _events.Writer.TryWrite(new DecodeStarted(Stopwatch.GetElapsedTime(_arrivedAt, _joinedAt).TotalSeconds, PromptSeconds, CachedTokens));
    }

    /// <summary>A step of the batch that it is in begins; the first one's time is told.</summary>
    public void EnterStep()
    {
        if (_completion.Count < 2) _stepAt = Stopwatch.GetTimestamp();
    }

    /// <summary>Adds the next token and tells what may be told; true when the text is complete.</summary>
    public bool Add(int token)
    {
        _completion.Add(token);
        if (_completion.Count == 2)
        {
            TimeSpan elapsed = Stopwatch.GetElapsedTime(_stepAt);
            _firstStepSeconds = elapsed.TotalSeconds;
            FirstStep?.Invoke(elapsed);
        }

        return Tell();
    }

    /// <summary>Tells what may be told; true when the text is complete.</summary>
    public bool Tell()
    {
        (int releasable, bool ends) = Stops.Examine(Completion);
        bool isFull = _completion.Count >= MaxTokens;
        if (isFull && !ends) releasable = _completion.Count;
        if (releasable > Told)
        {
            _events.Writer.TryWrite(new DecodeTokens(Completion[Told..releasable].ToArray()));
            Told = releasable;
        }

        if (!ends && !isFull) return false;
        Finish(new DecodeFinished(ends ? "stop" : "length", _completion.Count, Stopwatch.GetElapsedTime(_startedAt).TotalSeconds, _firstStepSeconds, Preemptions));
        return true;
    }

    /// <summary>Tokens that another worker generated and that are passed on as they come.</summary>
    public void Relay(DecodeTokens tokens)
    {
        for (int i = 0; i < tokens.Tokens.Length; i++)
        {
            if (Told + i >= _completion.Count) _completion.Add(tokens.Tokens[i]);
        }

        Told += tokens.Tokens.Length;
        _events.Writer.TryWrite(tokens);
    }

    /// <summary>The finish as another worker tells it.</summary>
    public void RelayFinish(DecodeFinished finished) => Finish(finished with
    {
        CompletionSeconds = Stopwatch.GetElapsedTime(_startedAt).TotalSeconds,
        FirstStepSeconds = _firstStepSeconds > 0 ? _firstStepSeconds : finished.FirstStepSeconds,
        Preemptions = finished.Preemptions + Preemptions,
    });

    public void Fail(WorkerException failure)
    {
        IsEnded = true;
        _events.Writer.TryComplete(failure);
    }

    /// <summary>Its blocks are free, and nobody works on it any more.</summary>
    public void MarkFreed()
    {
        IsEnded = true;
        _events.Writer.TryComplete();
        _freed.TrySetResult();
    }

    /// <summary>Whether it goes before <paramref name="other"/>: the more urgent, then the older.</summary>
    public bool GoesBefore(Generation other) => Priority != other.Priority ? Priority > other.Priority : Order < other.Order;

    private void Finish(DecodeFinished finished)
    {
        IsEnded = true;
        _events.Writer.TryWrite(finished);
        _events.Writer.TryComplete();
    }
}
