using KvHandoff.Wire;

namespace KvHandoff.Session;

// One connection after another, what comes over them, and what time brings.
public sealed partial class KvSender
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(10), LongestRetry = TimeSpan.FromMilliseconds(500);

    /// <summary>The link that stands, or a new one.</summary>
    private async Task<SenderLink> LinkAsync(CancellationToken cancellationToken)
    {
        if (_link.EndReason is null) return _link;
        await _connecting.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
            return _link.EndReason is null ? _link : await ConnectAgainAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (HandoffException e) when (e.Failure is HandoffFailure.TransportFailed)
        {
            throw new HandoffException(HandoffFailure.PeerGone, $"{_link.EndReason} Connecting again failed: {e.Message}", e);
        }
        finally
        {
            _connecting.Release();
        }
    }

    // One at a time, under the gate.
    private async Task<SenderLink> ConnectAgainAsync(CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stop.Token);
        SenderLink before = _link, next = await SenderLink.ConnectAsync(_endpoint, _part, _options, OnLinkEnded, either.Token).ConfigureAwait(false);
        if (!next.Welcome.Layout.Equals(before.Welcome.Layout) && !_open.IsEmpty)
        {
            await next.DisposeAsync().ConfigureAwait(false);
            throw new HandoffException(HandoffFailure.LayoutMismatch, $"The receiver came back with another cache: it was {before.Welcome.Layout}, it is {next.Welcome.Layout}.");
        }

        Interlocked.Add(ref _bytesOfEndedLinks, before.DataBytesSent);
        _link = next;
        next.Start(message => Handle(message, next));
        return next;
    }

    private void OnLinkEnded(SenderLink link, string reason)
    {
        // Threads and mappings go with it now: a receiver whose blocks are mapped here waits for that.
        _background.Enqueue(Task.Run(() => link.DisposeAsync().AsTask()));
        if (!ReferenceEquals(link, _link)) return;
        bool resume = false;
        foreach (OutgoingHandoff handoff in _open.Values)
        {
            if (handoff.CanResume && !_stop.IsCancellationRequested)
            {
                handoff.Detach();
                resume = true;
            }
            else
            {
                handoff.End(HandoffEvent.Failed, new HandoffException(HandoffFailure.PeerGone, $"Handoff {handoff.Id}: {reason}"));
            }
        }

        foreach (Guid id in _queries.Keys)
        {
            if (_queries.TryRemove(id, out TaskCompletionSource<Outcome>? query)) query.TrySetException(new HandoffException(HandoffFailure.PeerGone, reason));
        }

        if (resume) _background.Enqueue(Task.Run(() => ResumeAsync(reason)));
    }

    /// <summary>Connects again within the time that receivers were asked to wait, and offers what is open once more, with its lease.</summary>
    private async Task ResumeAsync(string reason)
    {
        long started = Clock.NowMilliseconds;
        string last = reason;
        for (TimeSpan wait = FirstRetry; !_stop.IsCancellationRequested && Clock.NowMilliseconds - started < ResumeWithin.TotalMilliseconds; wait = TimeSpan.FromTicks(Math.Min(2 * wait.Ticks, LongestRetry.Ticks)))
        {
            try
            {
                SenderLink link = await LinkAsync(_stop.Token).ConfigureAwait(false);
                foreach (OutgoingHandoff handoff in _open.Values)
                {
                    if (handoff.CanResume) _ = link.SendAsync(handoff.ToMessage(CodecOf(handoff.Offer)));
                }

                return;
            }
            catch (HandoffException e) when (e.Failure is HandoffFailure.PeerGone or HandoffFailure.TransportFailed or HandoffFailure.Expired)
            {
                last = e.Message;
            }
            catch (Exception e) when (e is HandoffException or OperationCanceledException or ObjectDisposedException)
            {
                last = e.Message;
                break;
            }

            await Task.Delay(wait, _options.TimeProvider, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        foreach (OutgoingHandoff handoff in _open.Values)
        {
            if (handoff.CanResume) handoff.End(HandoffEvent.Failed, new HandoffException(HandoffFailure.PeerGone, $"Handoff {handoff.Id}: {last}"));
        }
    }

    private void Handle(ControlMessage message, SenderLink link)
    {
        switch (message)
        {
            case Grant grant when _open.TryGetValue(grant.HandoffId, out OutgoingHandoff? handoff) && handoff.Status < HandoffStatus.Committed:
                handoff.OnGrant(grant, link);
                break;
            case Grant late:
                // Given up before the answer came: the receiver is not to keep blocks for it until the lease ends, let alone in quarantine.
                _ = link.SendAsync(new Abort(late.HandoffId, late.LeaseId, AbortReason.Cancelled, "The sender had given it up when it was granted."));
                if (!late.Slots.IsDefaultOrEmpty) _ = link.SendAsync(new Released(late.HandoffId, late.LeaseId));
                break;
            case Reject { Reason: RejectReason.Duplicate } known when _open.TryGetValue(known.HandoffId, out OutgoingHandoff? handoff) && handoff.CanResume:
                // Ended at the receiver while the connection was down: only it knows how.
                _ = SettleAsync(handoff, known.Message);
                break;
            case Reject reject when _open.TryGetValue(reject.HandoffId, out OutgoingHandoff? handoff):
                handoff.End(handoff.Status == HandoffStatus.Offered ? HandoffEvent.Declined : HandoffEvent.Failed,
                    new HandoffException(HandoffFailure.Rejected, $"Offer {reject.HandoffId} was declined ({reject.Reason}): {reject.Message}")
                    {
                        RejectReason = reject.Reason,
                        BytesNeeded = reject.BytesNeeded,
                        BytesFree = reject.BytesFree,
                        RetryAfter = TimeSpan.FromMilliseconds(reject.RetryAfterMilliseconds),
                    });
                break;
            case Committed committed when _open.TryGetValue(committed.HandoffId, out OutgoingHandoff? handoff):
                handoff.OnCommitted(committed);
                break;
            case Abort abort when _open.TryGetValue(abort.HandoffId, out OutgoingHandoff? handoff):
                // Granted, as the lease says, but the grant never came: blocks that this side could have written are not held back for it.
                if (link.Window is not null && handoff.Window is null && abort.LeaseId != 0) _ = link.SendAsync(new Released(abort.HandoffId, abort.LeaseId));
                HandoffFailure failure = abort.Reason switch
                {
                    AbortReason.Corrupt => HandoffFailure.Corrupt,
                    AbortReason.Expired => HandoffFailure.Expired,
                    AbortReason.StaleEpoch => HandoffFailure.StaleEpoch,
                    AbortReason.ProtocolError => HandoffFailure.ProtocolMismatch,
                    _ => HandoffFailure.Aborted,
                };
                handoff.End(abort.Reason == AbortReason.Expired ? HandoffEvent.TimedOut : HandoffEvent.Failed,
                    new HandoffException(failure, $"The receiver ended handoff {abort.HandoffId} ({abort.Reason}): {abort.Message}"));
                break;
            case Outcome outcome when _queries.TryRemove(outcome.HandoffId, out TaskCompletionSource<Outcome>? query):
                query.TrySetResult(outcome);
                break;
        }
    }

    private async Task SettleAsync(OutgoingHandoff handoff, string message)
    {
        try
        {
            if (await QueryAsync(handoff.Id, _stop.Token).ConfigureAwait(false) == HandoffOutcome.Committed)
                handoff.OnCommitted(new Committed(handoff.Id, 0, 0, 0, 0, 0, []));
            else
                handoff.End(HandoffEvent.Failed, new HandoffException(HandoffFailure.Aborted, $"Handoff {handoff.Id} ended while the connection was down: {message}"));
        }
        catch (Exception e) when (e is HandoffException or OperationCanceledException or ObjectDisposedException)
        {
            handoff.End(HandoffEvent.Failed, new HandoffException(HandoffFailure.PeerGone, $"Handoff {handoff.Id}: {e.Message}", e));
        }
    }

    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(TickInterval, _options.TimeProvider);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
            {
                long now = Clock.NowMilliseconds;
                foreach (OutgoingHandoff handoff in _open.Values) handoff.Tick(now);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
