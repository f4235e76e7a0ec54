namespace KvHandoff.Numerics;

/// <summary>
/// What an inverse scale becomes for <see cref="NarrowPairs.EncodeAnchored"/>: it is multiplied by a power of two that makes the
/// exponent field of the sums equal to that of the code, modulo its width, and it gets the offset that turns the magnitude bits
/// of a BF16 element into the exponent of its rounded product, plus what lies between them and the rounding place.
/// </summary>
static partial class Fp8Anchors
{
    // 2^-120: a smaller inverse would leave the normal numbers when adjusted. 2^112: a larger one would lift subnormal BF16, whose
    // exponents do not add, among the normal codes.
    const float SmallestInverse = AmaxScale.Smallest;
    const float LargestInverse = 5.1922969e33f;

    const uint One = 0x3F80_0000;

    /// <summary>Whether the anchored form is exact for these magnitudes and inverses: nothing overflows a code by half a step.</summary>
    internal static bool Fits(ReadOnlySpan<float> largest, ReadOnlySpan<float> inverses, float largestCode)
    {
        // A magnitude this far above the largest code still rounds to it, in every format.
        float limit = largestCode * (1f + (1f / 1024));
        int done = FitsVectors(largest, inverses, limit, out bool fits);
        for (int i = done; i < largest.Length; i++)
        {
            float inverse = inverses[i];
            fits &= largest[i] * inverse <= limit && inverse >= SmallestInverse && inverse <= LargestInverse;
        }

        return fits;
    }

    /// <summary>Whether the anchored form is exact for these inverses.</summary>
    internal static bool Cover(ReadOnlySpan<float> inverses) => Fits(inverses, inverses, float.PositiveInfinity);

    /// <summary>
    /// Adjusted inverses and offsets, these in both halves of each number. <paramref name="adjustment"/> is the power of two,
    /// <paramref name="anchorOfOne"/> the biased exponent of the anchor of a product of 1.
    /// </summary>
    internal static void Compute(
        ReadOnlySpan<float> inverses, float adjustment, uint anchorOfOne, Span<float> adjusted, Span<uint> offsets)
    {
        int done = ComputeVectors(inverses, adjustment, anchorOfOne, adjusted, offsets);
        for (int i = done; i < inverses.Length; i++)
        {
            // The smallest BF16 whose rounded product reaches 1. The quotient is off by an ulp or so: three candidates.
            uint first = (BitConverter.SingleToUInt32Bits(1f / inverses[i]) - 2) >> 16;
            uint threshold = first;
            if (BitConverter.UInt32BitsToSingle(first << 16) * inverses[i] < 1f)
                threshold++;
            if (BitConverter.UInt32BitsToSingle((first + 1) << 16) * inverses[i] < 1f)
                threshold++;
            uint offset = ((anchorOfOne << 7) - threshold) & 0xFFFF;
            adjusted[i] = inverses[i] * adjustment;
            offsets[i] = offset | (offset << 16);
        }
    }
}
