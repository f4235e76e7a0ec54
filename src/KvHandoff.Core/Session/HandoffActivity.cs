using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Traces of handoffs: one activity per handoff and side, from the source <c>KvHandoff</c>. The offer carries the sender's trace context, so
/// that both sides are one trace. docs/operations.md lists tags and events.
/// </summary>
/// <remarks>Thread-safe. Without a listener no activity is made and nothing is allocated; the caller's trace context travels all the same.</remarks>
public static class HandoffActivity
{
    /// <summary>Name of the source, to subscribe to.</summary>
    public const string SourceName = "KvHandoff";

    /// <summary>Name of the sender's activity.</summary>
    public const string SendName = "kvhandoff.send";

    /// <summary>Name of the receiver's activity.</summary>
    public const string ReceiveName = "kvhandoff.receive";

    /// <summary>Tags that both sides' activities have.</summary>
    public const string HandoffIdTag = "kvhandoff.handoff.id", RequestIdTag = "kvhandoff.request.id", TokensTag = "kvhandoff.tokens", ReusedTokensTag = "kvhandoff.tokens.reused",
        KvBytesTag = "kvhandoff.kv.bytes", WireBytesTag = "kvhandoff.wire.bytes", CodecTag = "kvhandoff.codec", TransportTag = "kvhandoff.transport",
        PlanStepsTag = "kvhandoff.plan.steps", OutcomeTag = "kvhandoff.outcome", ReasonTag = "kvhandoff.reason", SecondsTag = "kvhandoff.seconds";

    private static readonly ActivitySource Source = new(SourceName, "1");

    internal static bool HasListeners => Source.HasListeners();

    /// <summary>The sender's activity, a child of the caller's; null when nobody listens or it is not sampled.</summary>
    internal static Activity? StartSending(HandoffOffer offer, string codec, string transport) => !Source.HasListeners() ? null
        : Start(SendName, ActivityKind.Client, Activity.Current?.Context ?? default, offer.HandoffId, offer.RequestId, offer.TotalTokens, codec, transport);

    /// <summary>The receiver's activity, a child of the sender's; a root when the offer has no trace context that can be read.</summary>
    internal static Activity? StartReceiving(Offer offer, string codec, string transport)
    {
        if (!Source.HasListeners()) return null;
        ActivityContext parent = ActivityContext.TryParse(offer.TraceParent, null, isRemote: true, out ActivityContext context) ? context : default;
        return Start(ReceiveName, ActivityKind.Server, parent, offer.HandoffId, offer.RequestId, offer.TotalTokens, codec, transport);
    }

    /// <summary>The trace context that travels with an offer, in the form of W3C's <c>traceparent</c>; empty when there is none.</summary>
    internal static string TraceParentOf(Activity? own)
    {
        Activity? context = own ?? Activity.Current;
        return context is { IdFormat: ActivityIdFormat.W3C, Id: { } id } && id.Length <= WireConstants.MaxTraceParentBytes ? id : "";
    }

    /// <summary>Notes something that happened to the handoff.</summary>
    internal static void Note(Activity? activity, string happened)
    {
        if (activity is null) return;
        activity.AddEvent(new ActivityEvent(happened));
    }

    /// <summary>Ends the activity with the account of its side.</summary>
    internal static void End(Activity activity, in HandoffAccount account)
    {
        activity.SetTag(OutcomeTag, account.Outcome).SetTag(ReasonTag, account.Reason).SetTag(PlanStepsTag, account.Steps.ToString());
        activity.SetTag(KvBytesTag, account.KvBytes).SetTag(WireBytesTag, account.WireBytes).SetTag(ReusedTokensTag, account.ReusedTokens);
        for (int phase = 0; phase < (account.Phases?.Length ?? 0); phase++)
        {
            if (account.Phases![phase] > 0)
                activity.AddEvent(new ActivityEvent($"phase.{HandoffAccount.NameOf((HandoffPhase)phase)}", tags: new ActivityTagsCollection { { SecondsTag, account.Phases[phase] / 1e9 } }));
        }

        activity.SetStatus(account.Status == HandoffStatus.Committed ? ActivityStatusCode.Ok : ActivityStatusCode.Error, account.Reason);
        Activity? before = Activity.Current;
        activity.Stop();
        Restore(before);
    }

    /// <summary>Runs <paramref name="action"/> while the activity is the current one.</summary>
    internal static void While<T>(Activity? activity, T state, Action<T> action)
    {
        if (activity is null)
        {
            action(state);
            return;
        }

        Activity? before = Activity.Current;
        Activity.Current = activity;
        try
        {
            action(state);
        }
        finally
        {
            Restore(before);
        }
    }

    // A handoff ends on another thread than it starts on: it is nobody's current activity in between. What was current when a receiver was
    // started is nobody's parent.
    private static Activity? Start(string name, ActivityKind kind, ActivityContext parent, Guid id, string requestId, int tokens, string codec, string transport)
    {
        Activity? before = Activity.Current;
        try
        {
            Activity.Current = null;
            Activity? activity = Source.StartActivity(name, kind, parent);
            return activity?.SetTag(HandoffIdTag, id.ToString()).SetTag(RequestIdTag, requestId).SetTag(TokensTag, tokens).SetTag(CodecTag, codec).SetTag(TransportTag, transport);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // A listener threw: the handoff goes on without a trace.
            return null;
        }
        finally
        {
            Restore(before);
        }
    }

    // One that has ended meanwhile cannot be current again.
    private static void Restore(Activity? before) => Activity.Current = before is { IsStopped: true } ? null : before;
}
