using System.Collections.Immutable;
using System.Diagnostics;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>What one side tells metrics and traces about a handoff that ended, in the words that they use.</summary>
internal readonly record struct HandoffAccount(string Role, HandoffStatus Status, string Reason)
{
    internal const string SenderRole = "sender", ReceiverRole = "receiver";

    private const string NoReason = "none";

    private static readonly string[] PhaseNames = [.. Enum.GetValues<HandoffPhase>().Select(p => Words(p.ToString()))];
    private static readonly string[] Outcomes = [.. Enum.GetValues<HandoffStatus>().Select(s => Words(s.ToString()))];
    private static readonly string[] Failures = [.. Enum.GetValues<HandoffFailure>().Select(f => Words(f.ToString()))];
    private static readonly string[] Rejections = [.. Enumerable.Range(0, (int)RejectReason.Unauthorized + 1).Select(r => Words(((RejectReason)r).ToString()))];

    internal string Outcome => Outcomes[(int)Status];

    internal string Codec { get; init; } = "";

    internal string Transport { get; init; } = "";

    internal long KvBytes { get; init; }

    internal long WireBytes { get; init; }

    internal long BytesCopied { get; init; }

    internal int ReusedTokens { get; init; }

    internal int Resumes { get; init; }

    internal TimeSpan Elapsed { get; init; }

    /// <summary>Steps of the plan.</summary>
    internal TransferSteps Steps { get; init; }

    /// <summary>Nanoseconds per phase, of this side alone.</summary>
    internal long[]? Phases { get; init; }

    /// <summary>Hands the account to whoever listens. A listener that throws must not take the handoff with it.</summary>
    internal void Report(Activity? activity)
    {
        try
        {
            HandoffActivity.While(activity, this, static account => HandoffMeters.Ended(account));
            if (activity is not null) HandoffActivity.End(activity, this);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
        }
    }

    /// <summary>An offer was answered; only a rejection ends here what has no handoff on the receiver's side.</summary>
    internal static void Answered(KvReceiver receiver, Offer offer, ControlMessage? answer)
    {
        if (answer is not Reject reject || (!HandoffMeters.IsEnabled && !HandoffActivity.HasListeners)) return;
        var account = new HandoffAccount(ReceiverRole, HandoffStatus.Rejected, NameOf(reject.Reason)) { Codec = NameOf(offer.Codec), Transport = receiver.Scheme };
        account.Report(HandoffActivity.StartReceiving(offer, account.Codec, account.Transport));
    }

    internal static string NameOf(HandoffPhase phase) => PhaseNames[(int)phase];

    /// <summary>Why a handoff ended: the same words on both sides.</summary>
    internal static string ReasonOf(HandoffException? failure) =>
        failure is null ? NoReason : failure.Failure == HandoffFailure.Rejected ? NameOf(failure.RejectReason) : Failures[(int)failure.Failure];

    /// <summary>Name of the codec that was offered.</summary>
    internal static string NameOf(CodecId offered) =>
        offered == CodecId.Auto ? "auto" : offered == CodecId.AutoLossy ? "auto-lossy" : KvCodecs.TryGet(offered, out IKvCodec? codec) ? codec.Name : "unknown";

    /// <summary>Name of what frames may be encoded with.</summary>
    internal static string NameOf(ImmutableArray<IKvCodec> codecs)
    {
        if (codecs.Length == 1) return codecs[0].Name;
        foreach (IKvCodec codec in codecs)
        {
            if (codec.IsLossy) return NameOf(CodecId.AutoLossy);
        }

        return NameOf(CodecId.Auto);
    }

    private static string NameOf(RejectReason reason) => (int)reason is > 0 and <= (int)RejectReason.Unauthorized ? Rejections[(int)reason] : Failures[(int)HandoffFailure.Rejected];

    // PeerGone -> peer_gone.
    private static string Words(string name) =>
        string.Concat(name.Select((c, i) => char.IsUpper(c) && i > 0 ? $"_{char.ToLowerInvariant(c)}" : char.ToLowerInvariant(c).ToString()));
}
