using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

// What this side tells metrics and traces.
public sealed partial class IncomingHandoff
{
    private Activity? _activity;
    private string _codec = "";
    private int _resumes;

    /// <summary>Called once, when the handoff begins.</summary>
    internal void StartAccount(Offer offer)
    {
        _codec = HandoffAccount.NameOf(offer.Codec);
        _activity = HandoffActivity.StartReceiving(offer, _codec, _receiver.Scheme);
    }

    private void Note(HandoffEvent happened)
    {
        if (happened == HandoffEvent.Attached) Interlocked.Increment(ref _resumes);
        if (_activity is not { } activity) return;
        string? name = happened switch
        {
            HandoffEvent.Detached => "detached",
            HandoffEvent.Attached => "resumed",
            HandoffEvent.AllLanded => "landed",
            HandoffEvent.ManifestReceived => "manifest",
            _ => null,
        };
        if (name is not null) HandoffActivity.Note(activity, name);
    }

    /// <summary>Called once, when the handoff has ended on this side.</summary>
    internal void EndAccount(HandoffStatus status, HandoffException? failure)
    {
        Activity? activity = Interlocked.Exchange(ref _activity, null);
        if (activity is null && !HandoffMeters.IsEnabled) return;
        TransferSteps steps = TransferSteps.Copy;
        foreach (IncomingPart part in Parts)
        {
            foreach (GroupTransfer group in part.Shape.Groups) steps |= group.Steps;
            if (part.Peer is { } peer) steps |= peer.Plan.Steps;
        }

        new HandoffAccount(HandoffAccount.ReceiverRole, status, HandoffAccount.ReasonOf(failure))
        {
            Codec = _codec,
            Transport = _receiver.Scheme,
            KvBytes = KvBytes,
            WireBytes = Volatile.Read(ref _wireBytes),
            BytesCopied = Volatile.Read(ref _bytesCopied),
            ReusedTokens = ReusedTokens,
            Resumes = Volatile.Read(ref _resumes),
            Elapsed = Stopwatch.GetElapsedTime(_offeredAt),
            Steps = steps,
            Phases = Clock.Snapshot(),
        }.Report(activity);
    }
}
