using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

// Attention over what landed against what the sender's attention gave.
public sealed partial class IncomingHandoff
{
    private async Task CheckCanaryAsync(ByteValue encoded, HandoffShape shape)
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
            failure = CheckCanary(encoded, shape);
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

    private (AbortReason Reason, string Text)? CheckCanary(ByteValue encoded, HandoffShape shape)
    {
        if (!CanaryCodec.TryRead(encoded.Span, Id, out CanarySet? set, out string? error)) return (AbortReason.ProtocolError, $"The canary cannot be read: {error}");
        KvCacheLayout model = shape.Model;
        if (set!.Check(model) is { } wrong) return (AbortReason.ProtocolError, $"The canary does not fit the model: {wrong}");
        // A part of the tokens gives a part of the softmax, which only the parts together can be compared by.
        if (shape.Own.Tokens != new IndexRange(0, TotalTokens)) return null;
        var places = new CanaryPlaces(model, shape.Own, Target.Cache.Layout);
        set = set with { Pairs = [.. set.Pairs.Where(p => places.Holds(set, p))] };
        if (set.Pairs.IsEmpty) return null;
        CanaryStates states = AttentionCanary.Attend(Target, shape.OwnTokens, set, model, shape.Own);
        CanaryResult result = AttentionCanary.Compare(model, set, states, PrecisionOf(shape));
        return result.HasPassed ? null : (AbortReason.Corrupt, $"The canary found: {result.Text}");
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

    private static CanaryPrecision Worse(CanaryPrecision a, CanaryPrecision b) => CanaryTolerance.Of(a, seeded: false) + CanaryTolerance.Of(a, seeded: true)
        >= CanaryTolerance.Of(b, seeded: false) + CanaryTolerance.Of(b, seeded: true) ? a : b;
}
