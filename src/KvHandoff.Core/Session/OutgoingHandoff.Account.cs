using System.Diagnostics;

namespace KvHandoff.Session;

// What this side tells metrics, traces and the path report.
public sealed partial class OutgoingHandoff
{
    private Activity? _activity;
    private string _traceParent = "";
    private long _grantedAt;
    private int _resumes;

    /// <summary>Called once, when the handoff begins.</summary>
    internal void StartAccount()
    {
        _activity = HandoffActivity.StartSending(Offer, HandoffAccount.NameOf(Shape.Codecs), _sender.Scheme);
        _traceParent = HandoffActivity.TraceParentOf(_activity);
    }

    private void NoteGrant(bool again)
    {
        if (again) Interlocked.Increment(ref _resumes);
        else _grantedAt = PhaseClock.Now;
        HandoffActivity.Note(_activity, again ? "resumed" : "granted");
    }

    /// <summary>Called once, when the handoff has ended on this side.</summary>
    internal void EndAccount(HandoffException? failure)
    {
        HandoffStatus status = Status;
        long wireBytes = Volatile.Read(ref _wireBytes), copied = Volatile.Read(ref _bytesCopied);
        if (status == HandoffStatus.Committed) _sender.Tally.Add(Shape.KvBytes, wireBytes + (Window is null ? 0 : Shape.KvBytes), Stopwatch.GetElapsedTime(_grantedAt).TotalSeconds);
        Activity? activity = Interlocked.Exchange(ref _activity, null);
        if (activity is null && !HandoffMeters.IsEnabled) return;
        new HandoffAccount(HandoffAccount.SenderRole, status, HandoffAccount.ReasonOf(failure))
        {
            Codec = HandoffAccount.NameOf(Shape.Codecs),
            Transport = _sender.Scheme,
            KvBytes = Shape.KvBytes,
            WireBytes = wireBytes,
            BytesCopied = copied,
            ReusedTokens = ReusedTokens,
            Resumes = Volatile.Read(ref _resumes),
            Elapsed = Stopwatch.GetElapsedTime(_offeredAt),
            Steps = _link.Plan.Steps,
            Phases = Clock.Snapshot(),
        }.Report(activity);
    }
}
