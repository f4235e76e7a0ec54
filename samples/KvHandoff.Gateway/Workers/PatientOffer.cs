using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Gateway.Workers;

/// <summary>Offers a sequence until it is granted, the deadline passes, or the answer is one that time does not change.</summary>
internal static class PatientOffer
{
    private const int MostConnections = 3;
    private static readonly TimeSpan LeastPause = TimeSpan.FromMilliseconds(5), LongestPause = TimeSpan.FromMilliseconds(250);

    /// <summary>The granted handoff, and the sender that it belongs to, which the caller disposes after it.</summary>
    /// <exception cref="HandoffException">The last answer.</exception>
    public static async Task<(SenderPool.Use Use, OutgoingHandoff Outgoing)> OfferAsync(SenderPool senders, string endpoint, KvSequence sequence, HandoffOffer offer, CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        for (int connections = 1; ;)
        {
            SenderPool.Use? use = null;
            TimeSpan left = offer.Deadline - Stopwatch.GetElapsedTime(started), pause;
            try
            {
                use = await senders.UseAsync(endpoint, cancellationToken);
                TimeSpan wait = offer.WaitForRoom < left ? offer.WaitForRoom : left;
                return (use, await use.Sender.OfferAsync(sequence, offer with { Deadline = left, WaitForRoom = wait }, cancellationToken));
            }
            catch (HandoffException e) when (e.Failure is HandoffFailure.PeerGone or HandoffFailure.TransportFailed && connections < MostConnections)
            {
                // A connection that broke since it was last used says nothing of the receiver.
                connections++;
                use?.Discard();
                use?.Dispose();
                pause = LeastPause;
                if (left <= pause) throw;
            }
            catch (HandoffException e) when (e is { Failure: HandoffFailure.Rejected, RejectReason: RejectReason.Busy or RejectReason.NoSpace } && e.RetryAfter > TimeSpan.Zero && offer.WaitForRoom > TimeSpan.Zero)
            {
                use?.Dispose();
                pause = TimeSpan.FromTicks(Math.Clamp(e.RetryAfter.Ticks, LeastPause.Ticks, LongestPause.Ticks));
                if (left <= pause) throw;
            }
            catch
            {
                use?.Dispose();
                throw;
            }

            await Task.Delay(pause, cancellationToken);
        }
    }
}
