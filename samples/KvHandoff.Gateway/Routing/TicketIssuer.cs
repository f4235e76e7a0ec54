using KvHandoff.Gateway.Contracts;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Routing;

/// <summary>Signs a ticket per handoff: this sender, this receiver, this id, no more than so many bytes, until the deadline. Thread-safe.</summary>
internal sealed class TicketIssuer(TicketKeyRing keys)
{
    // A receiver reserves whole blocks, of 256 tokens at most.
    private const int LargestBlockTokens = 256;

    // The worker's own deadline ends the handoff first, with a reason.
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(10);

    internal byte[] Issue(string sender, WorkerStatus receiver, Guid handoffId, int promptTokens, TimeSpan deadline)
    {
        long tokens = (long)(promptTokens / LargestBlockTokens + 1) * LargestBlockTokens;
        return HandoffTicket.Issue(keys, new TicketClaims
        {
            Audience = receiver.Name,
            Sender = sender,
            HandoffId = handoffId,
            MaxKvBytes = Math.Max(1, tokens * receiver.KvBytesPerToken),
            Lifetime = deadline + Margin,
        }).Encoded.ToArray();
    }
}
