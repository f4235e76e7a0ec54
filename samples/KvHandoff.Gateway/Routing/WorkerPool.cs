using System.Collections.Concurrent;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Routing;

/// <summary>The workers that the gateway knows, each asked for its status in the background. Thread-safe.</summary>
internal sealed class WorkerPool(PrefixMemory prefixes, TimeSpan interval, TimeSpan silence) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Member> _members = new(StringComparer.Ordinal);

    /// <summary>The seats, by name.</summary>
    internal WorkerSeat[] Seats => [.. _members.Values.Select(m => m.Seat).OrderBy(s => s.Name, StringComparer.Ordinal)];

    /// <summary>Takes a worker in, in place of one of the same name.</summary>
    /// <param name="worker">Owned by the pool from here on.</param>
    /// <param name="address">Its control address, for other workers.</param>
    internal void Add(IWorker worker, string address)
    {
        var member = new Member(new WorkerSeat(worker), address, new CancellationTokenSource());
        Member? replaced = null;
        _members.AddOrUpdate(worker.Name, member, (_, old) =>
        {
            replaced = old;
            return member;
        });
        if (replaced is not null) End(replaced, "It was replaced.");
        member.Watch = Task.Run(() => WatchAsync(member));
    }

    /// <summary>Lets a worker go. Requests that are there go on.</summary>
    internal void Remove(string name)
    {
        if (_members.TryRemove(name, out Member? member)) End(member, "It has left the directory.");
    }

    /// <summary>A request found the worker gone: it gets no more until it answers again, and what it held is forgotten.</summary>
    internal void ReportLost(WorkerSeat seat, string reason)
    {
        seat.MarkDown(reason);
        prefixes.Forget(seat.Name);
    }

    public async ValueTask DisposeAsync()
    {
        Member[] members = [.. _members.Values];
        _members.Clear();
        foreach (Member member in members) End(member, "The gateway ends.");
        await Task.WhenAll(members.Select(m => m.Watch));
    }

    private void End(Member member, string reason)
    {
        member.Ended.Cancel();
        member.Seat.MarkDown(reason);
        prefixes.Forget(member.Seat.Name);
    }

    private async Task WatchAsync(Member member)
    {
        await PollAsync(member);
        // Requests that are there go on to their end; one that was just being placed has a moment to get there.
        do
        {
            await Task.Delay(interval);
        }
        while (member.Seat.Sequences > 0);

        if (member.Seat.Worker is IAsyncDisposable disposable) await disposable.DisposeAsync();
    }

    private async Task PollAsync(Member member)
    {
        WorkerSeat seat = member.Seat;
        CancellationToken ended = member.Ended.Token;
        WorkerPeer[]? told = null;
        while (!ended.IsCancellationRequested)
        {
            try
            {
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(ended);
                patience.CancelAfter(silence);
                WorkerStatus status = await seat.Worker.StatusAsync(patience.Token);
                if (ended.IsCancellationRequested) return;
                seat.Update(status);
                if (status.Phases == Phase.Decode && PeersOf(seat, status) is var peers && (told is null || !peers.SequenceEqual(told)))
                {
                    await seat.Worker.SetPeersAsync(peers, patience.Token);
                    told = peers;
                }
            }
            catch (OperationCanceledException) when (ended.IsCancellationRequested)
            {
                return;
            }
            catch (OperationCanceledException)
            {
                ReportLost(seat, $"It did not say its status within {silence.TotalSeconds:0.#} s.");
            }
            catch (Exception e) when (e is WorkerException or IOException or HttpRequestException)
            {
                if (!ended.IsCancellationRequested) ReportLost(seat, e.Message);
            }

            await Task.Delay(interval, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Whom a decode worker may hand a sequence to when its blocks run out.
    private WorkerPeer[] PeersOf(WorkerSeat seat, WorkerStatus status) =>
    [
        .. _members.Values.Where(m => m.Seat != seat && m.Seat is { IsUp: true, Status: { Phases: Phase.Decode } peer } && peer.ModelRevision == status.ModelRevision)
            .Select(m => new WorkerPeer(m.Seat.Name, m.Address)).OrderBy(p => p.Name, StringComparer.Ordinal),
    ];

    private sealed class Member(WorkerSeat seat, string address, CancellationTokenSource ended)
    {
        internal WorkerSeat Seat => seat;

        internal string Address => address;

        internal CancellationTokenSource Ended => ended;

        internal Task Watch { get; set; } = Task.CompletedTask;
    }
}
