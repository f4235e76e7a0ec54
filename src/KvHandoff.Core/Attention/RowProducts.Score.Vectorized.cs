using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>
/// Products of stored rows with query rows and with weights, straight from where the rows lie. Each keeps eight sums in registers, enough to hide the latency of
/// two multiply-adds a cycle: four query heads by two, two by four, or one by eight.
/// </summary>
static unsafe partial class RowProducts<TWidth, TMath, TVector>
    where TWidth : ISimdWidth<TVector>
    where TMath : ISingleMath<TVector>
    where TVector : struct
{
    const int ScoreStride = AttendTile.MostTokens;

    /// <summary>Dot products of every row with every query head: <c>scores[head][token]</c>, rows of <see cref="AttendTile.MostTokens"/>.</summary>
    /// <remarks>Up to seven scores behind the last token are written too, with arbitrary numbers.</remarks>
    internal static void Score<TElement>(float* query, int group, int dim, in KvRows keys, in KvRows next, float* scores)
        where TElement : IKvElement
    {
        if (group > 2) Score4x2<TElement>(query, group, dim, keys, next, scores);
        else if (group == 2) Score2x4<TElement>(query, dim, keys, next, scores);
        else Score1x8<TElement>(query, dim, keys, next, scores);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Score4x2<TElement>(float* query, int group, int dim, in KvRows keys, in KvRows next, float* scores)
        where TElement : IKvElement
    {
        int tokens = keys.Tokens, steps = (tokens + 1) / 2;
        nuint bytes = (nuint)dim * sizeof(float), rowStep = (nuint)(TWidth.Lanes * TElement.SizeBytes);
        for (int step = 0; step < steps; step++)
        {
            next.Prefetch(step, steps);
            int t = 2 * step;
            // Where tokens or heads run out, the last one is computed again: it gives the same numbers in the same places.
            byte* k0 = keys.First + (long)t * keys.StrideBytes, k1 = k0 + (t + 1 < tokens ? keys.StrideBytes : 0);
            for (int g = 0; g < group; g += 4)
            {
                int h1 = Math.Min(g + 1, group - 1), h2 = Math.Min(g + 2, group - 1), h3 = Math.Min(g + 3, group - 1);
                ref byte q0 = ref *(byte*)(query + g * dim), q1 = ref *(byte*)(query + h1 * dim);
                ref byte q2 = ref *(byte*)(query + h2 * dim), q3 = ref *(byte*)(query + h3 * dim);
                TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
                nuint at = 0;
                for (nuint i = 0; i < bytes; i += (nuint)(TWidth.Lanes * sizeof(float)), at += rowStep)
                {
                    TVector x = TElement.Load<TWidth, TVector>(ref *k0, at), y = TElement.Load<TWidth, TVector>(ref *k1, at);
                    TVector q = TWidth.Load32(ref q0, i);
                    a0 = TMath.MultiplyAdd(x, q, a0);
                    b0 = TMath.MultiplyAdd(y, q, b0);
                    q = TWidth.Load32(ref q1, i);
                    a1 = TMath.MultiplyAdd(x, q, a1);
                    b1 = TMath.MultiplyAdd(y, q, b1);
                    q = TWidth.Load32(ref q2, i);
                    a2 = TMath.MultiplyAdd(x, q, a2);
                    b2 = TMath.MultiplyAdd(y, q, b2);
                    q = TWidth.Load32(ref q3, i);
                    a3 = TMath.MultiplyAdd(x, q, a3);
                    b3 = TMath.MultiplyAdd(y, q, b3);
                }

                Vector128<float> first = TMath.Sum4(a0, a1, a2, a3), second = TMath.Sum4(b0, b1, b2, b3);
                float* s = scores + t;
                StorePair(s + g * ScoreStride, first.GetElement(0), second.GetElement(0));
                StorePair(s + h1 * ScoreStride, first.GetElement(1), second.GetElement(1));
                StorePair(s + h2 * ScoreStride, first.GetElement(2), second.GetElement(2));
                StorePair(s + h3 * ScoreStride, first.GetElement(3), second.GetElement(3));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Score2x4<TElement>(float* query, int dim, in KvRows keys, in KvRows next, float* scores)
        where TElement : IKvElement
    {
        int last = keys.Tokens - 1, steps = (keys.Tokens + 3) / 4;
        nuint bytes = (nuint)dim * sizeof(float), rowStep = (nuint)(TWidth.Lanes * TElement.SizeBytes);
        ref byte q0 = ref *(byte*)query, q1 = ref *(byte*)(query + dim);
        for (int step = 0; step < steps; step++)
        {
            next.Prefetch(step, steps);
            int t = 4 * step;
            byte* k0 = Row(keys, t), k1 = Row(keys, Math.Min(t + 1, last)), k2 = Row(keys, Math.Min(t + 2, last)), k3 = Row(keys, Math.Min(t + 3, last));
            TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
            nuint at = 0;
            for (nuint i = 0; i < bytes; i += (nuint)(TWidth.Lanes * sizeof(float)), at += rowStep)
            {
                TVector p = TWidth.Load32(ref q0, i), q = TWidth.Load32(ref q1, i);
                TVector x = TElement.Load<TWidth, TVector>(ref *k0, at);
                a0 = TMath.MultiplyAdd(x, p, a0);
                b0 = TMath.MultiplyAdd(x, q, b0);
                x = TElement.Load<TWidth, TVector>(ref *k1, at);
                a1 = TMath.MultiplyAdd(x, p, a1);
                b1 = TMath.MultiplyAdd(x, q, b1);
                x = TElement.Load<TWidth, TVector>(ref *k2, at);
                a2 = TMath.MultiplyAdd(x, p, a2);
                b2 = TMath.MultiplyAdd(x, q, b2);
                x = TElement.Load<TWidth, TVector>(ref *k3, at);
                a3 = TMath.MultiplyAdd(x, p, a3);
                b3 = TMath.MultiplyAdd(x, q, b3);
            }

            Vector128.Store(TMath.Sum4(a0, a1, a2, a3), scores + t);
            Vector128.Store(TMath.Sum4(b0, b1, b2, b3), scores + ScoreStride + t);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Score1x8<TElement>(float* query, int dim, in KvRows keys, in KvRows next, float* scores)
        where TElement : IKvElement
    {
        int last = keys.Tokens - 1, steps = (keys.Tokens + 7) / 8;
        nuint bytes = (nuint)dim * sizeof(float), rowStep = (nuint)(TWidth.Lanes * TElement.SizeBytes);
        ref byte q0 = ref *(byte*)query;
        for (int step = 0; step < steps; step++)
        {
            next.Prefetch(step, steps);
            int t = 8 * step;
            byte* k0 = Row(keys, t), k1 = Row(keys, Math.Min(t + 1, last)), k2 = Row(keys, Math.Min(t + 2, last)), k3 = Row(keys, Math.Min(t + 3, last));
            byte* k4 = Row(keys, Math.Min(t + 4, last)), k5 = Row(keys, Math.Min(t + 5, last)), k6 = Row(keys, Math.Min(t + 6, last)), k7 = Row(keys, Math.Min(t + 7, last));
            TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
            nuint at = 0;
            for (nuint i = 0; i < bytes; i += (nuint)(TWidth.Lanes * sizeof(float)), at += rowStep)
            {
                TVector q = TWidth.Load32(ref q0, i);
                a0 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k0, at), q, a0);
                a1 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k1, at), q, a1);
                a2 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k2, at), q, a2);
                a3 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k3, at), q, a3);
                a4 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k4, at), q, a4);
                a5 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k5, at), q, a5);
                a6 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k6, at), q, a6);
                a7 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *k7, at), q, a7);
            }

            Vector128.Store(TMath.Sum4(a0, a1, a2, a3), scores + t);
            Vector128.Store(TMath.Sum4(a4, a5, a6, a7), scores + t + 4);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static byte* Row(in KvRows rows, int token) => rows.First + (long)token * rows.StrideBytes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void StorePair(float* at, float first, float second)
    {
        at[0] = first;
        at[1] = second;
    }
}
