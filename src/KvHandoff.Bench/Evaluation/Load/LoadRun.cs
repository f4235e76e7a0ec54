using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Evaluation.Load;

/// <summary>Offers planned requests: as lanes that each send the next one when theirs has ended, or at given times whatever the server does.</summary>
internal sealed class LoadRun(RequestSender sender, RunClock clock, string runId, Action<RequestRecord> onEnded)
{
    private int _requests;

    /// <param name="Load">Index of the load's section.</param>
    /// <param name="Route">Of all its requests.</param>
    /// <param name="Turn">Which turn of the routes.</param>
    /// <param name="Phase">Warm-up or measured.</param>
    internal readonly record struct Place(int Load, string Route, int Turn, string Phase);

    /// <summary>Completes when every request has ended, or soon after the run was cancelled. Tells each record.</summary>
    /// <param name="lanes">Of a closed load; null: requests are sent when due.</param>
    /// <param name="hasBarriers">Every <paramref name="lanes"/> requests wait for the last of them, as the study's did.</param>
    internal async Task RunAsync(IReadOnlyList<PlannedRequest> requests, int? lanes, bool hasBarriers, Place place, CancellationToken cancellationToken)
    {
        if (lanes is not { } count) await TimedAsync(requests, place, cancellationToken);
        else if (!hasBarriers) await LanesAsync(requests, count, place, cancellationToken);
        else
        {
            // A batch has one prompt type only.
            foreach (PlannedRequest[] batch in requests.GroupBy(r => r.Request.PromptType).SelectMany(g => g.Chunk(count))) await LanesAsync(batch, count, place, cancellationToken);
        }
    }

    private async Task LanesAsync(IReadOnlyList<PlannedRequest> requests, int lanes, Place place, CancellationToken cancellationToken)
    {
        int next = -1;
        async Task LaneAsync(int lane)
        {
            await Task.Yield();
            while (!cancellationToken.IsCancellationRequested && Interlocked.Increment(ref next) is var i && i < requests.Count)
                await SendAsync(requests[i], place, lane, RunClock.Ticks, cancellationToken);
        }

        await Task.WhenAll(Enumerable.Range(0, Math.Min(lanes, requests.Count)).Select(LaneAsync));
    }

    private async Task TimedAsync(IReadOnlyList<PlannedRequest> requests, Place place, CancellationToken cancellationToken)
    {
        long started = RunClock.Ticks;
        var running = new List<Task>();
        foreach (PlannedRequest request in requests)
        {
            long due = started + (long)((request.DueSeconds ?? 0) * System.Diagnostics.Stopwatch.Frequency);
            try
            {
                // Timers may fire early, and an arrival before its time is another load.
                while (RunClock.Between(RunClock.Ticks, due) is > 0 and double wait) await clock.DelayAsync(TimeSpan.FromSeconds(wait), cancellationToken);
            }
            catch (OperationCanceledException)
            {
                break;
            }

            if (cancellationToken.IsCancellationRequested) break;
            running.Add(Task.Run(() => SendAsync(request, place, -1, due, cancellationToken), CancellationToken.None));
        }

        await Task.WhenAll(running);
    }

    private async Task SendAsync(PlannedRequest request, Place place, int lane, long due, CancellationToken cancellationToken)
    {
        string id = $"{runId}-{Interlocked.Increment(ref _requests):000000}";
        onEnded(await sender.SendAsync(request.Request, new RequestPlace(id, place.Load, place.Route, place.Turn, place.Phase, request.Iteration, lane, due), cancellationToken));
    }
}
