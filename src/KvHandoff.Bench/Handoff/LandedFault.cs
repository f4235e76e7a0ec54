using KvHandoff.Layout;

namespace KvHandoff.Bench.Handoff;

/// <summary>
/// Damage done to a landed and verified cache, so that a test can show that "the tokens are equal" is able to be false. Never part of a
/// real run.
/// </summary>
internal static class LandedFault
{
    internal const string None = "none", LandedByte = "landed-byte", SwapHeads = "swap-heads";

    internal static IReadOnlyList<string> Names { get; } = [None, LandedByte, SwapHeads];

    internal static void Apply(string fault, KvSequence sequence)
    {
        switch (fault)
        {
            case None: break;
            case LandedByte: FlipByte(sequence); break;
            case SwapHeads: Swap(sequence); break;
            default: throw new ArgumentException($"Fault '{fault}' is not one of {string.Join(", ", Names)}.", nameof(fault));
        }
    }

    // The top exponent bit of the first value of the last prompt token in layer 0: a usual value (exponent below 127) becomes one of about
    // 1e38, which no softmax weight hides and which every later layer and step carries.
    private static void FlipByte(KvSequence sequence)
    {
        KvLayerView view = sequence.View(0);
        Span<byte> row = view.Row(0, KvPlane.Value, view.Tokens - 1);
        row[1] ^= 0x40;
    }

    // Heads 0 and 1 change places in every layer: the bytes are all there, each of them in the wrong place.
    private static void Swap(KvSequence sequence)
    {
        for (int layer = 0; layer < sequence.Cache.Layout.LayerCount; layer++)
        {
            KvLayerView view = sequence.View(layer);
            byte[] kept = new byte[view.Group.RowBytes];
            for (int plane = 0; plane < view.Group.Planes; plane++)
            {
                for (int token = 0; token < view.Tokens; token++)
                {
                    Span<byte> first = view.Row(0, (KvPlane)plane, token), second = view.Row(1, (KvPlane)plane, token);
                    first.CopyTo(kept);
                    second.CopyTo(first);
                    kept.CopyTo(second);
                }
            }
        }
    }
}
