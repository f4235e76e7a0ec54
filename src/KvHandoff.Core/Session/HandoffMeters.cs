using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace KvHandoff.Session;

/// <summary>
/// What handoffs cost, as metrics: one meter, <c>KvHandoff</c>, for all senders and receivers of the process. docs/operations.md lists the
/// instruments, their units and tags, and what to alert on.
/// </summary>
/// <remarks>
/// Thread-safe. A handoff is recorded once per side, when it ends, and never per frame; while nobody listens that is a look at a flag per
/// instrument and allocates nothing. The handoff's activity is current while it is recorded, so that exemplars lead to its trace.
/// </remarks>
public static class HandoffMeters
{
    /// <summary>Name of the meter, to subscribe to.</summary>
    public const string MeterName = "KvHandoff";

    // Seconds: from a block over shared memory to a long context over a slow link.
    private static readonly InstrumentAdvice<double> Seconds = new()
    {
        HistogramBucketBoundaries = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    };

    private static readonly Meter Meter = new(MeterName, "1");

    private static readonly Counter<long> Handoffs = Meter.CreateCounter<long>("kvhandoff.handoffs", "{handoff}", "Handoffs that ended, by side, outcome and reason.");
    private static readonly Histogram<double> Duration = Meter.CreateHistogram("kvhandoff.handoff.duration", "s", "From the offer to the end, as the side saw it.", advice: Seconds);
    private static readonly Histogram<double> PhaseDuration = Meter.CreateHistogram("kvhandoff.phase.duration", "s", "Time of a handoff in one phase of its side, summed over the streams.", advice: Seconds);
    private static readonly Counter<long> KvBytes = Meter.CreateCounter<long>("kvhandoff.kv.bytes", "By", "Bytes of cache that were committed, as the side stores them.");
    private static readonly Counter<long> WireBytes = Meter.CreateCounter<long>("kvhandoff.wire.bytes", "By", "Bytes of frames that the side sent or landed, of handoffs with any outcome.");
    private static readonly Counter<long> BytesCopied = Meter.CreateCounter<long>("kvhandoff.bytes_copied", "By", "Bytes that the side copied between buffers on the way.");
    private static readonly Counter<long> TokensReused = Meter.CreateCounter<long>("kvhandoff.tokens.reused", "{token}", "Tokens of committed handoffs that the receiver had already.");
    private static readonly Counter<long> Resumes = Meter.CreateCounter<long>("kvhandoff.resumes", "{resume}", "Times that handoffs went on after their connection had broken.");

    // Looked at when a listener collects.
    private static readonly ConcurrentDictionary<KvReceiver, byte> Receivers = new();
    private static readonly ConcurrentDictionary<KvSender, byte> Senders = new();

    static HandoffMeters()
    {
        Meter.CreateObservableCounter("kvhandoff.frames.fenced", () => Observe(r => r.FencedFrames), "{frame}", "Frames that were drained because of an old epoch, lease or slot generation, or because they contradicted their grant.");
        Meter.CreateObservableUpDownCounter("kvhandoff.offers.waiting", () => Observe(r => r.WaitingOffers), "{offer}", "Offers that wait for room.");
        Meter.CreateObservableUpDownCounter("kvhandoff.quarantined", () => Observe(r => r.QuarantinedHandoffs), "{handoff}", "Ended handoffs whose sender may still write into their blocks.");
        Meter.CreateObservableUpDownCounter("kvhandoff.handoffs.open", ObserveOpen, "{handoff}", "Handoffs that have not ended.");
    }

    /// <summary>Whether anybody listens to what is recorded at the end of a handoff.</summary>
    internal static bool IsEnabled =>
        Handoffs.Enabled || Duration.Enabled || PhaseDuration.Enabled || KvBytes.Enabled || WireBytes.Enabled || BytesCopied.Enabled || TokensReused.Enabled || Resumes.Enabled;

    internal static void Join(KvReceiver receiver) => Receivers[receiver] = 0;

    internal static void Join(KvSender sender) => Senders[sender] = 0;

    internal static void Leave(KvReceiver receiver) => Receivers.TryRemove(receiver, out _);

    internal static void Leave(KvSender sender) => Senders.TryRemove(sender, out _);

    /// <summary>Records one side of a handoff that ended.</summary>
    internal static void Ended(in HandoffAccount account)
    {
        var end = new TagList { { "role", account.Role }, { "outcome", account.Outcome }, { "reason", account.Reason } };
        Handoffs.Add(1, end);
        // What was turned away has no course to time.
        if (account.Status != HandoffStatus.Rejected) Duration.Record(account.Elapsed.TotalSeconds, new TagList { { "role", account.Role }, { "outcome", account.Outcome } });
        var path = new TagList { { "role", account.Role }, { "codec", account.Codec }, { "transport", account.Transport } };
        if (account.WireBytes > 0) WireBytes.Add(account.WireBytes, path);
        if (account.BytesCopied > 0) BytesCopied.Add(account.BytesCopied, path);
        if (account.Resumes > 0) Resumes.Add(account.Resumes, new KeyValuePair<string, object?>("role", account.Role));
        if (account.Status != HandoffStatus.Committed) return;
        KvBytes.Add(account.KvBytes, path);
        if (account.ReusedTokens > 0) TokensReused.Add(account.ReusedTokens, new KeyValuePair<string, object?>("role", account.Role));
        if (!PhaseDuration.Enabled || account.Phases is null) return;
        for (int phase = 0; phase < account.Phases.Length; phase++)
        {
            if (account.Phases[phase] > 0) RecordPhase((HandoffPhase)phase, account.Phases[phase] / 1e9, account.Role);
        }
    }

    /// <summary>Records the first decode step over a landed cache, which comes after the handoff's end.</summary>
    internal static void FirstAttended(TimeSpan elapsed)
    {
        if (PhaseDuration.Enabled) RecordPhase(HandoffPhase.FirstAttend, elapsed.TotalSeconds, HandoffAccount.ReceiverRole);
    }

    private static void RecordPhase(HandoffPhase phase, double seconds, string role) =>
        PhaseDuration.Record(seconds, new TagList { { "phase", HandoffAccount.NameOf(phase) }, { "role", role } });

    private static IEnumerable<Measurement<long>> Observe(Func<KvReceiver, long> read) =>
        Receivers.Keys.Select(r => new Measurement<long>(read(r), new KeyValuePair<string, object?>("endpoint", r.Endpoint)));

    private static IEnumerable<Measurement<long>> ObserveOpen() => Receivers.Keys
        .Select(r => Open(r.OpenHandoffs, HandoffAccount.ReceiverRole, r.Endpoint))
        .Concat(Senders.Keys.Select(s => Open(s.OpenHandoffs, HandoffAccount.SenderRole, s.Endpoint)));

    private static Measurement<long> Open(int count, string role, string endpoint) =>
        new(count, new KeyValuePair<string, object?>("role", role), new KeyValuePair<string, object?>("endpoint", endpoint));
}
