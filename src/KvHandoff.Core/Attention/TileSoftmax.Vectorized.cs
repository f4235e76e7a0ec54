using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>
/// What every tile kernel does between its two products: dot products become weights relative to the running maximum, which
/// moves on together with the running sum.
/// </summary>
static unsafe class TileSoftmax<TWidth, TMath, TVector>
    where TWidth : ISimdWidth<TVector>
    where TMath : ISingleMath<TVector>
    where TVector : struct
{
    static ReadOnlySpan<uint> Counting => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// <summary>Applies factor, key scales, cap and visibility to the dot products of one query row, then the running softmax.</summary>
    /// <param name="scores">
    /// The row's dot products, room for a multiple of 16; on return the weights 2^(s - m'), without the value scales, and 0 for
    /// tokens that the row does not see and from <see cref="AttendTile.Tokens"/> up to the next multiple of 16.
    /// </param>
    /// <param name="tile">The step. <c>Maximum[row]</c> and <c>Sum[row]</c> are updated.</param>
    /// <param name="row">The query row.</param>
    /// <returns>The factor for what was summed before; 1 where the maximum stays.</returns>
    internal static float Weights(float* scores, in AttendTile tile, int row)
    {
        float rescale = Logits(scores, tile, row);
        Exponentiate(scores, tile, row, rescale);
        return rescale;
    }

    /// <summary><see cref="Weights(float*, in AttendTile, int)"/> of all query rows: the rows' chains of dependent steps overlap.</summary>
    /// <param name="scores"><c>[Rows][64]</c>.</param>
    /// <param name="rescales"><c>[Rows]</c>: what the other one returns.</param>
    /// <param name="tile">The step.</param>
    internal static void Weights(float* scores, float* rescales, in AttendTile tile)
    {
        for (int r = 0; r < tile.Rows; r++) rescales[r] = Logits(scores + r * AttendTile.MostTokens, tile, r);
        for (int r = 0; r < tile.Rows; r++) Exponentiate(scores + r * AttendTile.MostTokens, tile, r, rescales[r]);
    }

    /// <summary>Turns dot products into logits, minus infinity where nothing is seen, and moves the maximum on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static float Logits(float* scores, in AttendTile tile, int row)
    {
        (int from, int to) = TileSoftmax.Visible(tile, row);
        if (from >= to) return 1;
        int padded = (tile.Tokens + 15) & ~15;
        ref byte bytes = ref *(byte*)scores;
        nuint end = (nuint)padded * sizeof(float), step = (nuint)TWidth.Lanes * sizeof(float);
        if (tile.KeyScales != null) MultiplyByToken(scores, tile.KeyScales, tile.Tokens);

        TVector factor = TMath.Broadcast(tile.LogitFactor), largest = TMath.Broadcast(float.NegativeInfinity);
        if (tile.Cap == 0 && from == 0 && to == padded)
        {
            for (nuint i = 0; i < end; i += step)
            {
                TVector logits = TWidth.MultiplySingle(TWidth.Load32(ref bytes, i), factor);
                TWidth.Store32(logits, ref bytes, i);
                largest = TMath.Maximum(largest, logits);
            }
        }
        else
        {
            TVector position = TWidth.Load32(ref *(byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(Counting)), 0);
            TVector one = TWidth.Create(1), first = TWidth.Create((uint)from), behind = TWidth.Create((uint)to), unseen = TMath.Broadcast(float.NegativeInfinity);
            for (nuint i = 0; i < end; i += step)
            {
                TVector logits = TWidth.MultiplySingle(TWidth.Load32(ref bytes, i), factor);
                if (tile.Cap != 0) logits = Capped(logits, tile.Cap);
                // position + 1 > from: positions from - 1 would not all be unsigned.
                TVector next = TWidth.Add(position, one);
                TVector seen = TWidth.And(TWidth.GreaterThan(next, first), TWidth.GreaterThan(behind, position));
                logits = TWidth.Select(seen, logits, unseen);
                TWidth.Store32(logits, ref bytes, i);
                largest = TMath.Maximum(largest, logits);
                position = TWidth.Add(position, TWidth.Create((uint)TWidth.Lanes));
            }
        }

        float old = tile.Maximum[row], maximum = MathF.Max(old, TMath.Largest(largest));
        if (old == maximum) return 1;
        tile.Maximum[row] = maximum;
        return SingleMath128.PowerOf2(Vector128.Create(old - maximum).AsUInt32()).AsSingle().ToScalar();
    }

    /// <summary>Turns logits into weights and moves the sum on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Exponentiate(float* scores, in AttendTile tile, int row, float rescale)
    {
        (int from, int to) = TileSoftmax.Visible(tile, row);
        int padded = (tile.Tokens + 15) & ~15;
        if (from >= to)
        {
            new Span<float>(scores, padded).Clear();
            return;
        }

        // Only minus infinity so far: any finite reference makes all weights zero.
        float reference = float.IsNegativeInfinity(tile.Maximum[row]) ? 0 : tile.Maximum[row];
        TVector base2 = TMath.Broadcast(reference), total = default;
        ref byte bytes = ref *(byte*)scores;
        for (nuint i = 0; i < (nuint)padded * sizeof(float); i += (nuint)TWidth.Lanes * sizeof(float))
        {
            TVector weights = TMath.PowerOf2(TWidth.SubtractSingle(TWidth.Load32(ref bytes, i), base2));
            TWidth.Store32(weights, ref bytes, i);
            total = TWidth.AddSingle(total, weights);
        }

        tile.Sum[row] = tile.Sum[row] * rescale + TMath.Sum(total);
    }

    /// <summary>Multiplies the weights of one query row by the value scales, where there are any. What the row does not see stays 0.</summary>
    internal static void ScaleByToken(float* weights, in AttendTile tile, int row)
    {
        if (tile.ValueScales == null) return;
        if (tile.VisibleFrom == null)
        {
            MultiplyByToken(weights, tile.ValueScales, tile.Tokens);
            return;
        }

        // A scale that the row does not see may be anything, NaN too.
        (int from, int to) = TileSoftmax.Visible(tile, row);
        for (int t = from; t < to; t++) weights[t] *= tile.ValueScales[t];
    }

    /// <summary><c>cap * tanh(s / cap)</c>, off by a few units in the last place of the cap.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Capped(TVector logits, float cap)
    {
        TVector one = TMath.Broadcast(1), sign = TWidth.And(logits, TWidth.Create(0x8000_0000));
        TVector magnitude = TWidth.And(logits, TWidth.Create(0x7FFF_FFFF));
        // tanh x = (1 - e^-2x) / (1 + e^-2x)
        TVector decay = TMath.PowerOf2(TWidth.MultiplySingle(magnitude, TMath.Broadcast(-2 * Exponential.Log2E / cap)));
        TVector tanh = TWidth.DivideSingle(TWidth.SubtractSingle(one, decay), TWidth.AddSingle(one, decay));
        return TWidth.Or(TWidth.MultiplySingle(tanh, TMath.Broadcast(cap)), sign);
    }

    // Nothing is read behind the last scale.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void MultiplyByToken(float* scores, float* scales, int tokens)
    {
        int t = 0;
        for (; t + TWidth.Lanes <= tokens; t += TWidth.Lanes)
        {
            nuint at = (nuint)t * sizeof(float);
            TWidth.Store32(TWidth.MultiplySingle(TWidth.Load32(ref *(byte*)scores, at), TWidth.Load32(ref *(byte*)scales, at)), ref *(byte*)scores, at);
        }

        for (; t < tokens; t++) scores[t] *= scales[t];
    }
}

static unsafe partial class TileSoftmax
{
    /// <summary>The tokens of a step that a query row sees; nothing where the first is not before the second.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static (int From, int To) Visible(in AttendTile tile, int row) =>
        tile.VisibleFrom == null ? (0, tile.Tokens) : (Math.Max(0, tile.VisibleFrom[row]), Math.Min(tile.Tokens, tile.VisibleTo[row]));

    /// <summary>The definition, on the memory of a step.</summary>
    internal static float Weights(float* scores, in AttendTile tile, int row)
    {
        (int from, int to) = Visible(tile, row);
        int padded = (tile.Tokens + 15) & ~15;
        ReadOnlySpan<float> scales = tile.KeyScales == null ? [] : new ReadOnlySpan<float>(tile.KeyScales, tile.Tokens);
        return Weights(new Span<float>(scores, padded), scales, tile.LogitFactor, tile.Cap, from, to, ref tile.Maximum[row], ref tile.Sum[row]);
    }

    /// <summary>The definition, on the memory of a step.</summary>
    internal static void ScaleByToken(float* weights, in AttendTile tile, int row)
    {
        if (tile.ValueScales == null) return;
        (int from, int to) = Visible(tile, row);
        for (int t = from; t < to; t++) weights[t] *= tile.ValueScales[t];
    }
}
