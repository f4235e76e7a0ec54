using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>
/// Products of stored rows with query rows and with weights, straight from where the rows lie. Each keeps eight sums in registers, enough
/// to hide the latency of two multiply-adds a cycle: four query rows by two, two by four, or one by eight.
/// </summary>
/// <remarks>
/// Rows are whole pairs of vectors, in the order of <see cref="IKvElement.LoadFirst"/>; so is the query. From three query rows on, four are
/// laid together, vector by vector, and so are their weights, token by token: loads at equal places of rows would meet in the same bank of
/// the first-level cache.
/// </remarks>
static unsafe partial class RowProducts<TWidth, TMath, TVector>
    where TWidth : ISimdWidth<TVector>
    where TMath : ISingleMath<TVector>
    where TVector : struct
{
    const int ScoreStride = AttendTile.MostTokens;

    /// <summary>Dot products of every row with every query row: <c>scores[query row][token]</c>, <see cref="AttendTile.MostTokens"/> apart.</summary>
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
        int last = keys.Tokens - 1, steps = (keys.Tokens + 3) / 4;
        for (int step = 0; step < steps; step++)
        {
            next.Prefetch(step, steps);
            int t = 4 * step;
            // Where tokens or heads run out, the last one is computed again: it gives the same numbers in the same places.
            byte* k0 = Row(keys, t), k1 = Row(keys, Math.Min(t + 1, last)), k2 = Row(keys, Math.Min(t + 2, last)), k3 = Row(keys, Math.Min(t + 3, last));
            for (int g = 0; g < group; g += 4)
            {
                int h1 = Math.Min(g + 1, group - 1), h2 = Math.Min(g + 2, group - 1), h3 = Math.Min(g + 3, group - 1);
                float* q = query + (long)g * dim;
                Dot4x2<TElement>(q, dim, k0, k1, out Vector128<float> s0, out Vector128<float> s1);
                Dot4x2<TElement>(q, dim, k2, k3, out Vector128<float> s2, out Vector128<float> s3);
                SingleMath128.Transpose(ref s0, ref s1, ref s2, ref s3);
                float* s = scores + t;
                s3.Store(s + h3 * ScoreStride);
                s2.Store(s + h2 * ScoreStride);
                s1.Store(s + h1 * ScoreStride);
                s0.Store(s + g * ScoreStride);
            }
        }
    }

    // Four query rows with two stored ones: sums of the four for each.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Dot4x2<TElement>(float* query, int dim, byte* k0, byte* k1, out Vector128<float> first, out Vector128<float> second)
        where TElement : IKvElement
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
        nuint lane = (nuint)(TWidth.Lanes * sizeof(float)), end = (nuint)dim * (nuint)TElement.SizeBytes;
        ref byte q = ref *(byte*)query;
        for (nuint at = 0, i = 0; at < end; at += (nuint)(2 * TWidth.Lanes * TElement.SizeBytes), i += 8 * lane)
        {
            TVector x = TElement.LoadFirst<TWidth, TVector>(ref *k0, at), y = TElement.LoadFirst<TWidth, TVector>(ref *k1, at);
            TVector p = TWidth.Load32(ref q, i);
            a0 = TMath.MultiplyAdd(x, p, a0);
            b0 = TMath.MultiplyAdd(y, p, b0);
            p = TWidth.Load32(ref q, i + lane);
            a1 = TMath.MultiplyAdd(x, p, a1);
            b1 = TMath.MultiplyAdd(y, p, b1);
            p = TWidth.Load32(ref q, i + 2 * lane);
            a2 = TMath.MultiplyAdd(x, p, a2);
            b2 = TMath.MultiplyAdd(y, p, b2);
            p = TWidth.Load32(ref q, i + 3 * lane);
            a3 = TMath.MultiplyAdd(x, p, a3);
            b3 = TMath.MultiplyAdd(y, p, b3);
            x = TElement.LoadSecond<TWidth, TVector>(ref *k0, at);
            y = TElement.LoadSecond<TWidth, TVector>(ref *k1, at);
            p = TWidth.Load32(ref q, i + 4 * lane);
            a0 = TMath.MultiplyAdd(x, p, a0);
            b0 = TMath.MultiplyAdd(y, p, b0);
            p = TWidth.Load32(ref q, i + 5 * lane);
            a1 = TMath.MultiplyAdd(x, p, a1);
            b1 = TMath.MultiplyAdd(y, p, b1);
            p = TWidth.Load32(ref q, i + 6 * lane);
            a2 = TMath.MultiplyAdd(x, p, a2);
            b2 = TMath.MultiplyAdd(y, p, b2);
            p = TWidth.Load32(ref q, i + 7 * lane);
            a3 = TMath.MultiplyAdd(x, p, a3);
            b3 = TMath.MultiplyAdd(y, p, b3);
        }

        first = TMath.Sum4(a0, a1, a2, a3);
        second = TMath.Sum4(b0, b1, b2, b3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Score2x4<TElement>(float* query, int dim, in KvRows keys, in KvRows next, float* scores)
        where TElement : IKvElement
    {
        int last = keys.Tokens - 1, steps = (keys.Tokens + 3) / 4;
        nuint lane = (nuint)(TWidth.Lanes * sizeof(float)), bytes = (nuint)dim * sizeof(float), rowStep = (nuint)(2 * TWidth.Lanes * TElement.SizeBytes);
        ref byte q0 = ref *(byte*)query, q1 = ref *(byte*)(query + dim);
        for (int step = 0; step < steps; step++)
        {
            next.Prefetch(step, steps);
            int t = 4 * step;
            byte* k0 = Row(keys, t), k1 = Row(keys, Math.Min(t + 1, last)), k2 = Row(keys, Math.Min(t + 2, last)), k3 = Row(keys, Math.Min(t + 3, last));
            TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
            nuint at = 0;
            for (nuint i = 0; i < bytes; i += 2 * lane, at += rowStep)
            {
                TVector p = TWidth.Load32(ref q0, i), q = TWidth.Load32(ref q1, i);
                TVector x = TElement.LoadFirst<TWidth, TVector>(ref *k0, at);
                a0 = TMath.MultiplyAdd(x, p, a0);
                b0 = TMath.MultiplyAdd(x, q, b0);
                x = TElement.LoadFirst<TWidth, TVector>(ref *k1, at);
                a1 = TMath.MultiplyAdd(x, p, a1);
                b1 = TMath.MultiplyAdd(x, q, b1);
                x = TElement.LoadFirst<TWidth, TVector>(ref *k2, at);
                a2 = TMath.MultiplyAdd(x, p, a2);
                b2 = TMath.MultiplyAdd(x, q, b2);
                x = TElement.LoadFirst<TWidth, TVector>(ref *k3, at);
                a3 = TMath.MultiplyAdd(x, p, a3);
                b3 = TMath.MultiplyAdd(x, q, b3);
                p = TWidth.Load32(ref q0, i + lane);
                q = TWidth.Load32(ref q1, i + lane);
                x = TElement.LoadSecond<TWidth, TVector>(ref *k0, at);
                a0 = TMath.MultiplyAdd(x, p, a0);
                b0 = TMath.MultiplyAdd(x, q, b0);
                x = TElement.LoadSecond<TWidth, TVector>(ref *k1, at);
                a1 = TMath.MultiplyAdd(x, p, a1);
                b1 = TMath.MultiplyAdd(x, q, b1);
                x = TElement.LoadSecond<TWidth, TVector>(ref *k2, at);
                a2 = TMath.MultiplyAdd(x, p, a2);
                b2 = TMath.MultiplyAdd(x, q, b2);
                x = TElement.LoadSecond<TWidth, TVector>(ref *k3, at);
                a3 = TMath.MultiplyAdd(x, p, a3);
                b3 = TMath.MultiplyAdd(x, q, b3);
            }

            TMath.Sum4(a0, a1, a2, a3).Store(scores + t);
            TMath.Sum4(b0, b1, b2, b3).Store(scores + ScoreStride + t);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Score1x8<TElement>(float* query, int dim, in KvRows keys, in KvRows next, float* scores)
        where TElement : IKvElement
    {
        int last = keys.Tokens - 1, steps = (keys.Tokens + 7) / 8;
        nuint lane = (nuint)(TWidth.Lanes * sizeof(float)), bytes = (nuint)dim * sizeof(float), rowStep = (nuint)(2 * TWidth.Lanes * TElement.SizeBytes);
        ref byte q0 = ref *(byte*)query;
        for (int step = 0; step < steps; step++)
        {
            next.Prefetch(step, steps);
            int t = 8 * step;
            byte* k0 = Row(keys, t), k1 = Row(keys, Math.Min(t + 1, last)), k2 = Row(keys, Math.Min(t + 2, last)), k3 = Row(keys, Math.Min(t + 3, last));
            byte* k4 = Row(keys, Math.Min(t + 4, last)), k5 = Row(keys, Math.Min(t + 5, last)), k6 = Row(keys, Math.Min(t + 6, last)), k7 = Row(keys, Math.Min(t + 7, last));
            TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
            nuint at = 0;
            for (nuint i = 0; i < bytes; i += 2 * lane, at += rowStep)
            {
                TVector q = TWidth.Load32(ref q0, i);
                a0 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k0, at), q, a0);
                a1 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k1, at), q, a1);
                a2 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k2, at), q, a2);
                a3 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k3, at), q, a3);
                a4 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k4, at), q, a4);
                a5 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k5, at), q, a5);
                a6 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k6, at), q, a6);
                a7 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *k7, at), q, a7);
                q = TWidth.Load32(ref q0, i + lane);
                a0 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k0, at), q, a0);
                a1 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k1, at), q, a1);
                a2 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k2, at), q, a2);
                a3 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k3, at), q, a3);
                a4 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k4, at), q, a4);
                a5 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k5, at), q, a5);
                a6 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k6, at), q, a6);
                a7 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *k7, at), q, a7);
            }

            TMath.Sum4(a0, a1, a2, a3).Store(scores + t);
            TMath.Sum4(a4, a5, a6, a7).Store(scores + t + 4);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static byte* Row(in KvRows rows, int token) => rows.First + token * rows.StrideBytes;
}
