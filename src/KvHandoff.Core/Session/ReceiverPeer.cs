using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>One connected sender: its control connection, its data connections, and the handoffs it has open.</summary>
internal sealed class ReceiverPeer(KvReceiver receiver, OfferDesk desk, ControlChannel control, Guid token, string name, TransferPlan plan) : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly List<(IConnection Connection, Thread Thread)> _streams = [];
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly AnswerSpin _spin = new();
    private int _gone;

    internal Guid Token { get; } = token;

    internal string Name { get; } = name;

    /// <summary>How the sender's layout becomes this receiver's.</summary>
    internal TransferPlan Plan { get; } = plan;

    /// <summary>Whether the sender maps this receiver's blocks.</summary>
    internal bool HasWindow { get; init; }

    /// <summary>Whether the sender maps the blocks, which takes this host; one that writes from afar is always verified.</summary>
    internal bool IsSameHost => control.Connection is ISharedMemoryPeer;

    /// <summary>Completes when the sender can no longer write to blocks by itself: its mapping goes with its control connection.</summary>
    internal Task WindowClosedAsync() => control.Connection switch
    {
        ISharedMemoryPeer shared => shared.PeerGone,
        IRemoteMemoryPeer remote when HasWindow => EndpointsGoneAsync(remote),
        _ => Task.CompletedTask,
    };

    // Every connection of the sender can write. Once the peer has stopped no further one joins.
    private async Task EndpointsGoneAsync(IRemoteMemoryPeer first)
    {
        await first.PeerGone.ConfigureAwait(false);
        await StoppedAsync().ConfigureAwait(false);
        Task[] streams;
        lock (_gate) streams = [.. _streams.Select(s => s.Connection).OfType<IRemoteMemoryPeer>().Select(c => c.PeerGone)];
        await Task.WhenAll(streams).ConfigureAwait(false);
    }

    internal bool IsGone => Volatile.Read(ref _gone) != 0;

    /// <summary>Bytes that this peer's data connections have delivered.</summary>
    internal long DataBytesReceived
    {
        get
        {
            long sum = 0;
            lock (_gate)
                foreach ((IConnection connection, _) in _streams) sum += connection.Counters.BytesReceived;
            return sum;
        }
    }

    /// <summary>Serves the control connection until it ends; the peer is gone afterwards.</summary>
    internal async Task ServeAsync(CancellationToken cancellationToken)
    {
        string reason = "The control connection ended.";
        try
        {
            while (true)
            {
                ControlReadResult read = await control.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (read.Error is not null)
                {
                    reason = read.Error.Message;
                    await control.SendAsync(new Fault(read.Error.Code, read.Error.Message), cancellationToken).ConfigureAwait(false);
                    break;
                }

                if (read.Message is null) break;
                await HandleAsync(read.Message, cancellationToken).ConfigureAwait(false);
                if (read.Message is Fault fault)
                {
                    reason = $"The sender reported: {fault.Message}";
                    break;
                }
            }
        }
        catch (OperationCanceledException)
        {
            reason = "The receiver shut down.";
        }

        Disconnect(reason);
    }

    /// <summary>Adds a data connection and starts the thread that lands its frames.</summary>
    internal bool TryAddStream(IConnection connection, int limit)
    {
        var thread = new Thread(() => LandFrames(connection)) { IsBackground = true, Name = $"kvhandoff receive {Name}" };
        lock (_gate)
        {
            if (IsGone || _streams.Count >= limit) return false;
            _streams.Add((connection, thread));
            // Within the gate: who disposes the peer joins every thread that it finds here.
            thread.Start();
        }

        return true;
    }

    /// <summary>Sends a message without waiting for it; a sender that does not take it in has gone.</summary>
    internal void Tell(ControlMessage message) => _ = TellAsync(message);

    private async Task TellAsync(ControlMessage message)
    {
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            await control.SendAsync(message, patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Disconnect($"The sender has not taken a message for {Patience.TotalSeconds} s.");
        }
    }

    /// <summary>Completes when no thread of this peer is inside any blocks any more.</summary>
    internal Task StoppedAsync() => _stopped.Task;

    /// <summary>Reports bytes that no parser accepts; the stream cannot be resynchronised, so the peer is dropped.</summary>
    internal void ReportFault(WireError error)
    {
        receiver.LastFault = error.Message;
        control.SendAsync(new Fault(error.Code, error.Message)).AsTask().Wait(TimeSpan.FromSeconds(1));
    }

    /// <summary>Drops the peer: wakes every thread, fails every open handoff.</summary>
    internal void Disconnect(string reason)
    {
        if (Interlocked.Exchange(ref _gone, 1) != 0) return;
        AbortStreams();
        receiver.PeerGone(this, reason);
        control.Abort();
    }

    public async ValueTask DisposeAsync()
    {
        Disconnect("The receiver shut down.");
        (IConnection Connection, Thread Thread)[] streams;
        lock (_gate) streams = [.. _streams];
        foreach ((IConnection connection, Thread thread) in streams)
        {
            await Task.Run(thread.Join).ConfigureAwait(false);
            await connection.DisposeAsync().ConfigureAwait(false);
        }

        _stopped.TrySetResult();
        await control.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Wakes every receive that is inside blocks; the data connections end.</summary>
    internal void AbortStreams()
    {
        lock (_gate)
            foreach ((IConnection connection, _) in _streams) connection.Abort();
    }

    private void LandFrames(IConnection connection)
    {
        using var lander = new FrameLander(connection, receiver, this);
        TransportResult result;
        do
        {
            try
            {
                SpinFor(connection);
                result = lander.Next();
            }
            catch (Exception e)
            {
                // A defect of this side or of its host's memory must not take the process with it; the stream is out of step.
                result = new TransportResult(TransportStatus.Failed, $"Landing a frame threw {e.GetType().Name}: {e.Message}");
            }
        }
        while (result.IsOk);

        // An orderly end while nothing is open is a sender that said goodbye; anything else takes the peer's handoffs with it.
        Disconnect($"A data connection ended ({result.Status}): {result.Message ?? "end of stream"}");
    }

    /// <summary>Looks for the next frame, and meanwhile for messages: a sender that hands over one block after the other wakes no thread.</summary>
    private void SpinFor(IConnection connection)
    {
        if (connection is not IPolledConnection polled || !control.CanPump) return;
        if (!_spin.MayBegin())
        {
            control.StopPumping();
            return;
        }

        for (long started = Stopwatch.GetTimestamp(); AnswerSpin.MayGoOn(started);)
        {
            for (int i = 0; i < 8; i++)
            {
                if (polled.HasData)
                {
                    _spin.Found();
                    return;
                }

                if (control.TryPump()) started = Stopwatch.GetTimestamp();
                Thread.SpinWait(1);
            }

            // With few processors the one that is waited for may be waiting for this one.
            Thread.Yield();
        }

        _spin.NotFound();
        control.StopPumping();
    }

    private async Task HandleAsync(ControlMessage message, CancellationToken cancellationToken)
    {
        switch (message)
        {
            case Offer offer:
                await desk.AnswerAsync(offer, this).ConfigureAwait(false);
                break;
            case Finish finish when Landing(finish.HandoffId, finish.LeaseId) is { } part:
                part.Handoff.AcceptFinish(part, finish);
                break;
            case Released released:
                receiver.CloseWindow(released.HandoffId, released.LeaseId);
                break;
            case Renew renew when Landing(renew.HandoffId, renew.LeaseId) is { } part:
                part.Touch();
                break;
            case Abort { LeaseId: 0 } abort:
                if (!desk.Withdraw(abort.HandoffId, this)) receiver.GiveUp(abort, this);
                break;
            case Abort abort when Landing(abort.HandoffId, abort.LeaseId) is { } part:
                part.Handoff.Fail(abort.Reason, $"The sender aborted: {abort.Message}");
                break;
            case Query query:
                await TellAsync(receiver.OutcomeOf(query.HandoffId)).ConfigureAwait(false);
                break;
            case Hello or Welcome or Grant or Reject or Committed or Outcome or Wire.Prepared or Decision:
                await control.SendAsync(new Fault(WireErrorCode.BadValue, $"{message.GetType().Name} is not a message that a sender sends here."), cancellationToken).ConfigureAwait(false);
                Disconnect($"The sender sent {message.GetType().Name} out of turn.");
                break;
        }
    }

    private IncomingPart? Landing(Guid id, ulong lease) => receiver.FindLanding(id)?.PartOf(this) is { } part && part.LeaseId == lease ? part : null;
}
