using System.Collections.Concurrent;
using System.Diagnostics;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Stages;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Continuous batching on one thread: requests join and leave between steps. Where prompts are computed here too, one chunk of one prompt
/// goes between two steps.
/// </summary>
/// <remarks>When blocks run out, the least urgent and youngest request makes room: TokenLoop.Room.cs.</remarks>
internal sealed partial class TokenLoop : IDisposable
{
    private readonly string _worker;
    private readonly WorkerCache _cache;
    private readonly TokenStage _tokens;
    private readonly ReplayStage _replay;
    private readonly PromptStage? _prompts;
    private readonly TokenSampler _sampler = new();
    private readonly int _batchSize, _chunkTokens;
    private readonly ConcurrentQueue<Generation> _arrivals = new();
    private readonly ManualResetEventSlim _wake = new();
    private readonly List<Generation> _running = [], _waiting = [];
    private readonly List<Generation> _batch = [];
    private readonly KvSequence[] _sequences;
    private readonly int[] _next;
    private readonly Thread _thread;
    private long _order, _preemptions, _reusedTokens;
    private int _runningCount, _waitingCount, _withoutBlocks, _arriving;
    private bool _hasTold;
    private volatile bool _stopping;

    /// <param name="options">Name, batch and chunk.</param>
    /// <param name="cache">Where all its sequences lie.</param>
    /// <param name="stages">What this worker runs; prompts only with the phase for it.</param>
    /// <param name="model">The model.</param>
    public TokenLoop(WorkerOptions options, WorkerCache cache, StageMap stages, LlamaModel model)
    {
        _worker = options.Name;
        _cache = cache;
        _tokens = stages.Create<TokenStage>(model, options.ThreadsInUse);
        _replay = stages.Create<ReplayStage>(model, options.ThreadsInUse);
        _prompts = stages.Runs<PromptStage>() ? stages.Create<PromptStage>(model, options.ThreadsInUse) : null;
        (_batchSize, _chunkTokens) = (options.BatchSize, options.ChunkTokens);
        _sequences = new KvSequence[_batchSize];
        _next = new int[_batchSize];
        _thread = new Thread(Run) { IsBackground = true, Name = "decode " + options.Name };
        _thread.Start();
    }

    /// <summary>Takes a sequence of blocks to another worker; null where there is none. Set before requests come.</summary>
    public IHandAway? HandAway { get; set; }

    /// <summary>Requests in the batch.</summary>
    public int Running => Volatile.Read(ref _runningCount);

    /// <summary>Requests that wait for a place or for blocks.</summary>
    public int Waiting => Volatile.Read(ref _waitingCount) + Volatile.Read(ref _arriving);

    /// <summary>Requests that wait for blocks: what becomes free is theirs before it is anybody else's.</summary>
    public int WithoutBlocks => Volatile.Read(ref _withoutBlocks);

    /// <summary>Sequences that made room so far.</summary>
    public long Preemptions => Volatile.Read(ref _preemptions);

    /// <summary>Prompt tokens that were found in the cache so far.</summary>
    public long ReusedTokens => Volatile.Read(ref _reusedTokens);

    /// <summary>A request for the batch; one without a sequence has its prompt computed here.</summary>
    public void Add(Generation generation)
    {
        Interlocked.Increment(ref _arriving);
        _arrivals.Enqueue(generation);
        Wake();
    }

    /// <summary>Something changed outside: a cancellation, blocks that became free.</summary>
    public void Wake() => _wake.Set();

    /// <summary>Stops the thread; what is not complete fails.</summary>
    public void Dispose()
    {
        _stopping = true;
        Wake();
        _thread.Join();
        _wake.Dispose();
    }

    private void Run()
    {
        while (!_stopping)
        {
            _wake.Reset();
            try
            {
                Take();
                Admit();
                bool worked = Chunk();
                worked |= Step();
                if (!worked) _wake.Wait(WaitForBlocks);
            }
            catch (Exception e)
            {
                FailBatch(e);
            }
        }

        Take();
        foreach (Generation generation in _running.Concat(_waiting).ToArray()) End(generation, new WorkerException(WorkerFailure.Lost, _worker, "it shuts down."));
        _running.Clear();
        _waiting.Clear();
    }

    private void Take()
    {
        while (_arrivals.TryDequeue(out Generation? arrival))
        {
            if (arrival.Order == 0) arrival.Order = ++_order;
            _waiting.Add(arrival);
            Interlocked.Decrement(ref _arriving);
        }

        Drop(_running);
        Drop(_waiting);
    }

    private void Drop(List<Generation> list)
    {
        for (int i = list.Count - 1; i >= 0; i--)
        {
            if (!list[i].IsCancelled) continue;
            Generation cancelled = list[i];
            list.RemoveAt(i);
            End(cancelled, null);
        }
    }

    // One chunk of the most urgent prompt whose rows are not all there.
    private bool Chunk()
    {
        Generation? first = null;
        foreach (Generation generation in _running)
        {
            if (generation.NeedsPrompt && (first is null || generation.GoesBefore(first))) first = generation;
        }

        if (first is null) return false;
        int rows = first.Rows, count = Math.Min(_chunkTokens, first.Prompt.Length - rows);
        ReadOnlySpan<int> chunk = first.Prompt.AsSpan(rows, count);
        long started = Stopwatch.GetTimestamp();
        bool isNew = first.Completion.IsEmpty;
        int token = -1;
        if (!isNew) _replay.Run(first.Sequence!, chunk);
        else if (_prompts!.Run(first.Sequence!, chunk) is var logits && rows + count == first.Prompt.Length) token = Choose(first, logits);
        first.PromptSeconds += Stopwatch.GetElapsedTime(started).TotalSeconds;
        if (first.NeedsPrompt) return true;
        _cache.Remember(first.Sequence!, first.Hashes);
        if (!isNew) return true;
        first.Begin();
        if (first.Add(token)) Leave(first);
        return true;
    }

    private bool Step()
    {
        MakeBatch();
        if (_batch.Count == 0) return false;
        LetTokensLeave();
        for (int i = 0; i < _batch.Count; i++) (_sequences[i], _next[i]) = (_batch[i].Sequence!, _batch[i].NextToken);
        // Before the step the last known token's row is missing; where more are, the step only replays.
        Span<bool> atEnd = stackalloc bool[_batch.Count];
        for (int i = 0; i < _batch.Count; i++)
        {
            atEnd[i] = _batch[i].IsAtEnd;
            _batch[i].EnterStep();
        }

        ReadOnlySpan<float> logits = _tokens.Step(_sequences.AsSpan(0, _batch.Count), _next.AsSpan(0, _batch.Count));
        int width = logits.Length / _batch.Count;
        for (int i = 0; i < _batch.Count; i++)
        {
            if (atEnd[i] && _batch[i].Add(Choose(_batch[i], logits.Slice(i * width, width)))) Leave(_batch[i]);
            _hasTold |= atEnd[i];
        }

        Array.Clear(_sequences, 0, _batch.Count);
        return true;
    }

    // Who passes the tokens on was woken, perhaps on this processor, which a step would keep for as long as a slice of time lasts.
    private void LetTokensLeave()
    {
        if (_hasTold) Thread.Yield();
        _hasTold = false;
    }

    private int Choose(Generation generation, ReadOnlySpan<float> logits) =>
        _sampler.Sample(logits, generation.Sampling.Temperature, generation.Sampling.TopP, generation.Sampling.Seed, generation.Completion.Length);

    private void Leave(Generation generation)
    {
        _running.Remove(generation);
        End(generation, null);
        Count();
    }

    // Blocks first: who hears of the end may look at what is free.
    private void End(Generation generation, WorkerException? failure)
    {
        if (generation.Sequence is { } sequence) _cache.End(sequence);
        generation.Sequence = null;
        if (failure is not null) generation.Fail(failure);
        generation.MarkFreed();
    }

    private void Count()
    {
        Volatile.Write(ref _runningCount, _running.Count);
        Volatile.Write(ref _waitingCount, _waiting.Count);
        Volatile.Write(ref _withoutBlocks, _waiting.Count(w => w.Sequence is null));
    }

    // A fault of the batch is nobody's in particular; those that wait are not touched.
    private void FailBatch(Exception fault)
    {
        foreach (Generation generation in _running.ToArray())
            End(generation, new WorkerException(WorkerFailure.Internal, _worker, $"a step failed with {fault.GetType().Name}: {fault.Message}", fault));
        _running.Clear();
        Count();
    }
}
