using System.Collections.Concurrent;
using System.Diagnostics;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Stages;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Computes prompts on one thread, a chunk at a time. After every chunk the prompt goes on that is due first: each is due after a multiple
/// of its own length, so short ones pass long ones that came a little earlier, and nobody is passed for ever.
/// </summary>
internal sealed class PrefillLoop : IDisposable
{
    // A prompt may take so many times as long as it would alone before others give way to it.
    private const double Stretch = 4;
    private const double FirstGuessSecondsPerToken = 2e-4, Smoothing = 0.2;

    // Blocks become free in handoffs that end; nobody tells.
    private static readonly TimeSpan BlocksPoll = TimeSpan.FromMilliseconds(5);

    private readonly string _worker;
    private readonly WorkerCache _cache;
    private readonly PromptStage _stage;
    private readonly TokenSampler _sampler = new();
    private readonly int _chunkTokens, _layers;
    private readonly ConcurrentQueue<PrefillJob> _arrivals = new();
    private readonly ManualResetEventSlim _wake = new();
    private readonly List<PrefillJob> _jobs = [];
    private readonly Thread _thread;
    private double _secondsPerToken = FirstGuessSecondsPerToken;
    private int _running, _waiting;
    private long _reusedTokens;
    private volatile bool _stopping;

    public PrefillLoop(WorkerOptions options, WorkerCache cache, StageMap stages, LlamaModel model)
    {
        _worker = options.Name;
        _cache = cache;
        _stage = stages.Create<PromptStage>(model, options.ThreadsInUse);
        _chunkTokens = options.ChunkTokens;
        _layers = model.Config.Layers;
        _thread = new Thread(Run) { IsBackground = true, Name = "prefill " + options.Name };
        _thread.Start();
    }

    /// <summary>Prompts that have begun.</summary>
    public int Running => Volatile.Read(ref _running);

    /// <summary>Prompts that have not.</summary>
    public int Waiting => Volatile.Read(ref _waiting) + _arrivals.Count;

    /// <summary>Prompt tokens that were found in the cache so far.</summary>
    public long ReusedTokens => Volatile.Read(ref _reusedTokens);

    /// <summary>Queues a prompt.</summary>
    public PrefillJob Add(PrefillRequest request, CancellationToken cancellationToken)
    {
        double due = Now + Stretch * request.Prompt.Length * Volatile.Read(ref _secondsPerToken);
        var job = new PrefillJob(request, _cache.HashesOf(request.Prompt), _layers, due, cancellationToken);
        _arrivals.Enqueue(job);
        Wake();
        return job;
    }

    /// <summary>Something changed outside.</summary>
    public void Wake() => _wake.Set();

    public void Dispose()
    {
        _stopping = true;
        Wake();
        _thread.Join();
        _wake.Dispose();
    }

    private static double Now => Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

    private void Run()
    {
        while (!_stopping)
        {
            _wake.Reset();
            Take();
            if (!Chunk()) _wake.Wait(_jobs.Count > 0 ? BlocksPoll : Timeout.InfiniteTimeSpan);
        }

        Take();
        foreach (PrefillJob job in _jobs) job.Fail(new WorkerException(WorkerFailure.Lost, _worker, "it shuts down."));
    }

    private void Take()
    {
        while (_arrivals.TryDequeue(out PrefillJob? job)) _jobs.Add(job);
        for (int i = _jobs.Count - 1; i >= 0; i--)
        {
            if (!_jobs[i].Cancelled.IsCancellationRequested) continue;
            _jobs[i].Fail(new OperationCanceledException(_jobs[i].Cancelled));
            _jobs.RemoveAt(i);
        }

        _jobs.Sort((a, b) => a.GoesBefore(b) ? -1 : b.GoesBefore(a) ? 1 : 0);
        Count();
    }

    private void Count()
    {
        int running = _jobs.Count(j => j.Sequence is not null);
        Volatile.Write(ref _running, running);
        Volatile.Write(ref _waiting, _jobs.Count - running);
    }

    // Of the first that has blocks or gets them; one that needs more than are free is not passed by others that need some.
    private bool Chunk()
    {
        bool isBlocked = false;
        for (int i = 0; i < _jobs.Count; i++)
        {
            PrefillJob job = _jobs[i];
            if (job.Sequence is null && (isBlocked || !TryBegin(job)))
            {
                isBlocked = true;
                continue;
            }

            Compute(job);
            return true;
        }

        return false;
    }

    private bool TryBegin(PrefillJob job)
    {
        KvSequence sequence = _cache.Begin(job.Hashes, job.Request.Prompt.Length);
        if (!_cache.TryReserve(sequence, job.Request.Prompt.Length))
        {
            _cache.End(sequence);
            return false;
        }

        Interlocked.Add(ref _reusedTokens, sequence.Tokens);
        job.Begin(sequence);
        Count();
        return true;
    }

    private void Compute(PrefillJob job)
    {
        int[] prompt = job.Request.Prompt;
        KvSequence sequence = job.Sequence!;
        int start = sequence.Tokens, count = Math.Min(_chunkTokens, prompt.Length - start), end = start + count;
        long started = Stopwatch.GetTimestamp();
        try
        {
            ReadOnlySpan<float> logits = _stage.Run(sequence, prompt.AsSpan(start, count), layer => job.Wrote(layer, end));
            double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
            job.PromptSeconds += seconds;
            Volatile.Write(ref _secondsPerToken, (1 - Smoothing) * _secondsPerToken + Smoothing * seconds / count);
            if (end < prompt.Length) return;
            SamplingOptions sampling = job.Request.Sampling;
            int token = _sampler.Sample(logits, sampling.Temperature, sampling.TopP, sampling.Seed, 0);
            _cache.Remember(sequence, job.Hashes);
            job.Complete(token);
        }
        catch (OperationCanceledException cancelled)
        {
            job.Fail(cancelled);
        }
        catch (Exception e)
        {
            job.Fail(new WorkerException(WorkerFailure.Internal, _worker, $"the prompt failed with {e.GetType().Name}: {e.Message}", e));
        }

        _jobs.Remove(job);
        Count();
    }
}
