using KvHandoff.Wire;

namespace KvHandoff.Session;

// What comes over the control connection, and what time brings.
public sealed partial class KvSender
{
    private async Task ReadAsync()
    {
        string reason = "the receiver closed the control connection";
        try
        {
            while (true)
            {
                ControlReadResult read = await _control.ReadAsync(_stop.Token).ConfigureAwait(false);
                if (read.Error is not null)
                {
                    reason = $"the receiver sent something else than this protocol: {read.Error.Message}";
                    break;
                }

                if (read.Message is null) break;
                if (read.Message is Fault fault)
                {
                    reason = $"the receiver reported: {fault.Message}";
                    break;
                }

                Handle(read.Message);
            }
        }
        catch (OperationCanceledException)
        {
            reason = "the sender was disposed";
        }

        Disconnect($"Connection to {_control.Description}: {reason}.");
    }

    private void Handle(ControlMessage message)
    {
        switch (message)
        {
            case Grant grant when _open.TryGetValue(grant.HandoffId, out OutgoingHandoff? handoff):
                handoff.OnGrant(grant);
                break;
            case Reject reject when _open.TryGetValue(reject.HandoffId, out OutgoingHandoff? handoff):
                handoff.End(HandoffEvent.Declined, new HandoffException(HandoffFailure.Rejected, $"Offer {reject.HandoffId} was declined ({reject.Reason}): {reject.Message}")
                {
                    BytesNeeded = reject.BytesNeeded,
                    BytesFree = reject.BytesFree,
                    RetryAfter = TimeSpan.FromMilliseconds(reject.RetryAfterMilliseconds),
                });
                break;
            case Committed committed when _open.TryGetValue(committed.HandoffId, out OutgoingHandoff? handoff):
                handoff.OnCommitted(committed);
                break;
            case Abort abort when _open.TryGetValue(abort.HandoffId, out OutgoingHandoff? handoff):
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

    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(TickInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
            {
                long now = Environment.TickCount64;
                foreach (OutgoingHandoff handoff in _open.Values) handoff.Tick(now);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
