using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>How the last handoffs ended, for senders that never heard the verdict. Bounded: the oldest are forgotten.</summary>
internal sealed class OutcomeHistory
{
    private const int Capacity = 4096;

    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, Outcome> _outcomes = new(Capacity);
    private readonly Queue<Guid> _order = new(Capacity);

    internal void Add(Guid id, HandoffStatus status, string text)
    {
        HandoffOutcome outcome = status switch
        {
            HandoffStatus.Committed => HandoffOutcome.Committed,
            HandoffStatus.Expired => HandoffOutcome.Expired,
            HandoffStatus.Rejected => HandoffOutcome.Rejected,
            _ => HandoffOutcome.Aborted,
        };
        lock (_gate)
        {
            if (!_outcomes.TryAdd(id, new Outcome(id, outcome, text))) return;
            _order.Enqueue(id);
            if (_order.Count > Capacity) _outcomes.Remove(_order.Dequeue());
        }
    }

    internal Outcome Find(Guid id)
    {
        lock (_gate) return _outcomes.TryGetValue(id, out Outcome? outcome) ? outcome : new Outcome(id, HandoffOutcome.Unknown, "");
    }
}
