using System.Collections.Immutable;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

// Attention over what landed against what the senders' attention gave.
public sealed partial class IncomingHandoff
{
    // By sender, so that one that repeats itself adds nothing; written under the gate, read when all have finished.
    private readonly Dictionary<int, ByteValue> _canaries = [];

    /// <summary>What this receiver found for queries that attend to more tokens than it holds; complete once it is prepared.</summary>
    internal ImmutableArray<CanaryPartial> CanaryPartials { get; private set; } = [];

    /// <summary>The same, as the coordinator of the group is told; empty for nothing.</summary>
    internal ImmutableArray<byte[]> CanaryMessages { get; private set; } = [];

    // Called with the gate held.
    private void NoteCanary(int sender, ByteValue canary)
    {
        // Senders of a group give the same pairs as a rule: one copy serves all.
        ByteValue same = _canaries.Values.FirstOrDefault(c => c == canary);
        _canaries[sender] = same.IsEmpty ? canary : same;
    }

    private async Task CheckCanariesAsync()
    {
        try
        {
            await _allLanded.Task.ConfigureAwait(false);
        }
        catch (HandoffException)
        {
            return;
        }

        if (!Use.TryEnter()) return;
        (AbortReason Reason, string Text)? failure;
        try
        {
            long started = PhaseClock.Now;
            failure = CheckCanaries();
            Clock.Add(HandoffPhase.Verify, started);
        }
        catch (Exception e)
        {
            failure = (AbortReason.Internal, $"Checking the canary threw {e.GetType().Name}: {e.Message}");
        }
        finally
        {
            Use.Exit();
        }

        if (failure is { } failed) Fail(failed.Reason, failed.Text);
        else Apply(HandoffEvent.ManifestReceived);
    }

    private (AbortReason Reason, string Text)? CheckCanaries()
    {
        ByteValue[] canaries;
        lock (_gate) canaries = [.. _canaries.OrderBy(c => c.Key).Select(c => c.Value).Distinct()];
        HandoffShape shape = Parts.First().Shape;
        CanaryPrecision precision = CanaryPrecision.Exact;
        foreach (IncomingPart part in Parts) precision = Worse(precision, PrecisionOf(part.Shape));
        var partials = new List<CanaryPartial>();
        foreach (ByteValue canary in canaries)
        {
            if (CheckCanary(canary, shape, precision, partials) is { } failure) return failure;
        }

        if (CanaryPartialCodec.Write(partials) is not { } messages)
            return (AbortReason.ProtocolError, $"The senders' canaries have {partials.Count} pairs, which take more than {CanaryPartialCodec.MaxMessages} messages of {CanaryPartialCodec.MaxMessageBytes} bytes to the coordinator.");
        (CanaryPartials, CanaryMessages) = ([.. partials], messages);
        return null;
    }

    private (AbortReason Reason, string Text)? CheckCanary(ByteValue encoded, HandoffShape shape, CanaryPrecision precision, List<CanaryPartial> partials)
    {
        if (!CanaryCodec.TryRead(encoded.Span, Id, out CanarySet? set, out string? error)) return (AbortReason.ProtocolError, $"The canary cannot be read: {error}");
        KvCacheLayout model = shape.Model;
        if (set!.Check(model) is { } wrong) return (AbortReason.ProtocolError, $"The canary does not fit the model: {wrong}");
        if (set.Tokens > TotalTokens) return (AbortReason.ProtocolError, $"The canary attends to {set.Tokens} tokens; {TotalTokens} were offered.");
        var places = new CanaryPlaces(model, shape.Own, Target.Cache.Layout);
        set = set with { Pairs = [.. set.Pairs.Where(p => places.Holds(set, p))] };
        if (set.Pairs.IsEmpty) return null;
        var attended = new IndexRange(set.FirstToken, set.Tokens - set.FirstToken);
        bool holdsAll = shape.Own.Tokens.Start <= attended.Start && shape.Own.Tokens.End >= attended.End;
        // A part of the tokens gives a part of the softmax, which only the parts together can be compared by: in a group, by its coordinator.
        if (!holdsAll && Group is not { Targets.Length: > 1 }) return null;
        CanaryStates states = AttentionCanary.Attend(Target, shape.OwnTokens, set, model, shape.Own);
        if (holdsAll)
        {
            CanaryResult result = AttentionCanary.Compare(model, set, states, precision);
            return result.HasPassed ? null : (AbortReason.Corrupt, $"The canary found: {result.Text}");
        }

        for (int i = 0; i < set.Pairs.Length; i++)
        {
            CanaryPair pair = set.Pairs[i];
            UInt128 query = CanaryPartial.NameOf(set, pair);
            if (partials.Any(p => p.Query == query && p.Expected.Span.SequenceEqual(pair.Output.Span))) continue;
            partials.Add(new CanaryPartial(query, pair.Layer, pair.Head, attended, set.IsSeeded, precision, pair.Sink, states.LogSumExpOf(i), states.Output(i).ToArray(), pair.Output));
        }

        return null;
    }

    private static CanaryPrecision PrecisionOf(HandoffShape shape)
    {
        CanaryPrecision worst = CanaryPrecision.Exact;
        foreach (GroupTransfer group in shape.Groups) worst = Worse(worst, CanaryTolerance.PrecisionOf(group));
        foreach (IKvCodec codec in shape.Codecs)
        {
            worst = Worse(worst, codec.Id switch
            {
                CodecId.Int8 => CanaryPrecision.Int8,
                CodecId.Fp8E4M3 => CanaryPrecision.Fp8,
                CodecId.MxFp8 => CanaryPrecision.MxFp8,
                _ => CanaryPrecision.Exact,
            });
        }

        return worst;
    }

    // From Exact to Coarse8 the tolerances ascend.
    private static CanaryPrecision Worse(CanaryPrecision a, CanaryPrecision b) => a >= b ? a : b;
}
