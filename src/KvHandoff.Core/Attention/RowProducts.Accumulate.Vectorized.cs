using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

static unsafe partial class RowProducts<TWidth, TMath, TVector>
{
    /// <summary>Adds the rows, each times its weight, to <c>result[head][dim]</c>, which is first multiplied by <c>scale[head]</c>.</summary>
    internal static void Accumulate<TElement>(float* weights, float* scale, int group, int dim, in KvRows values, in KvRows next, float* result)
        where TElement : IKvElement
    {
        if (group > 2) Accumulate4x2<TElement>(weights, scale, group, dim, values, next, result);
        else if (group == 2) Accumulate2x4<TElement>(weights, scale, dim, values, next, result);
        else Accumulate1x8<TElement>(weights, scale, dim, values, next, result);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate4x2<TElement>(float* weights, float* scale, int group, int dim, in KvRows values, in KvRows next, float* result)
        where TElement : IKvElement
    {
        int tokens = values.Tokens, vectors = dim / TWidth.Lanes, strips = (vectors + 1) / 2;
        nint stride = values.StrideBytes;
        int part = 0, parts = (group + 3) / 4 * strips;
        for (int strip = 0; strip < strips; strip++)
        {
            // Where columns or heads run out, the last one is computed again and stored twice, with the same numbers.
            int c0 = 2 * strip * TWidth.Lanes, c1 = Math.Min(2 * strip + 1, vectors - 1) * TWidth.Lanes;
            nuint second = (nuint)((c1 - c0) * TElement.SizeBytes);
            for (int g = 0; g < group; g += 4)
            {
                next.Prefetch(part++, parts);
                int h1 = Math.Min(g + 1, group - 1), h2 = Math.Min(g + 2, group - 1), h3 = Math.Min(g + 3, group - 1);
                float* r0 = result + g * dim, r1 = result + h1 * dim, r2 = result + h2 * dim, r3 = result + h3 * dim;
                TVector a0 = Scaled(r0 + c0, scale[g]), b0 = Scaled(r0 + c1, scale[g]), a1 = Scaled(r1 + c0, scale[h1]), b1 = Scaled(r1 + c1, scale[h1]);
                TVector a2 = Scaled(r2 + c0, scale[h2]), b2 = Scaled(r2 + c1, scale[h2]), a3 = Scaled(r3 + c0, scale[h3]), b3 = Scaled(r3 + c1, scale[h3]);
                float* w0 = weights + g * ScoreStride, w1 = weights + h1 * ScoreStride, w2 = weights + h2 * ScoreStride, w3 = weights + h3 * ScoreStride;
                byte* v = values.First + c0 * TElement.SizeBytes;
                for (nint t = 0; t < tokens; t++, v += stride)
                {
                    TVector x = TElement.Load<TWidth, TVector>(ref *v, 0), y = TElement.Load<TWidth, TVector>(ref *v, second);
                    TVector w = TMath.Broadcast(w0[t]);
                    a0 = TMath.MultiplyAdd(x, w, a0);
                    b0 = TMath.MultiplyAdd(y, w, b0);
                    w = TMath.Broadcast(w1[t]);
                    a1 = TMath.MultiplyAdd(x, w, a1);
                    b1 = TMath.MultiplyAdd(y, w, b1);
                    w = TMath.Broadcast(w2[t]);
                    a2 = TMath.MultiplyAdd(x, w, a2);
                    b2 = TMath.MultiplyAdd(y, w, b2);
                    w = TMath.Broadcast(w3[t]);
                    a3 = TMath.MultiplyAdd(x, w, a3);
                    b3 = TMath.MultiplyAdd(y, w, b3);
                }

                Store(a0, r0 + c0);
                Store(b0, r0 + c1);
                Store(a1, r1 + c0);
                Store(b1, r1 + c1);
                Store(a2, r2 + c0);
                Store(b2, r2 + c1);
                Store(a3, r3 + c0);
                Store(b3, r3 + c1);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate2x4<TElement>(float* weights, float* scale, int dim, in KvRows values, in KvRows next, float* result)
        where TElement : IKvElement
    {
        int tokens = values.Tokens, lanes = TWidth.Lanes, last = dim / lanes - 1, strips = (last + 4) / 4;
        nint stride = values.StrideBytes;
        float* r0 = result, r1 = result + dim, w0 = weights, w1 = weights + ScoreStride;
        for (int strip = 0; strip < strips; strip++)
        {
            next.Prefetch(strip, strips);
            int c0 = 4 * strip * lanes, c1 = Math.Min(4 * strip + 1, last) * lanes, c2 = Math.Min(4 * strip + 2, last) * lanes, c3 = Math.Min(4 * strip + 3, last) * lanes;
            nuint o1 = (nuint)((c1 - c0) * TElement.SizeBytes), o2 = (nuint)((c2 - c0) * TElement.SizeBytes), o3 = (nuint)((c3 - c0) * TElement.SizeBytes);
            TVector a0 = Scaled(r0 + c0, scale[0]), a1 = Scaled(r0 + c1, scale[0]), a2 = Scaled(r0 + c2, scale[0]), a3 = Scaled(r0 + c3, scale[0]);
            TVector b0 = Scaled(r1 + c0, scale[1]), b1 = Scaled(r1 + c1, scale[1]), b2 = Scaled(r1 + c2, scale[1]), b3 = Scaled(r1 + c3, scale[1]);
            byte* v = values.First + c0 * TElement.SizeBytes;
            for (nint t = 0; t < tokens; t++, v += stride)
            {
                TVector p = TMath.Broadcast(w0[t]), w = TMath.Broadcast(w1[t]);
                TVector x = TElement.Load<TWidth, TVector>(ref *v, 0);
                a0 = TMath.MultiplyAdd(x, p, a0);
                b0 = TMath.MultiplyAdd(x, w, b0);
                x = TElement.Load<TWidth, TVector>(ref *v, o1);
                a1 = TMath.MultiplyAdd(x, p, a1);
                b1 = TMath.MultiplyAdd(x, w, b1);
                x = TElement.Load<TWidth, TVector>(ref *v, o2);
                a2 = TMath.MultiplyAdd(x, p, a2);
                b2 = TMath.MultiplyAdd(x, w, b2);
                x = TElement.Load<TWidth, TVector>(ref *v, o3);
                a3 = TMath.MultiplyAdd(x, p, a3);
                b3 = TMath.MultiplyAdd(x, w, b3);
            }

            Store(a0, r0 + c0);
            Store(a1, r0 + c1);
            Store(a2, r0 + c2);
            Store(a3, r0 + c3);
            Store(b0, r1 + c0);
            Store(b1, r1 + c1);
            Store(b2, r1 + c2);
            Store(b3, r1 + c3);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate1x8<TElement>(float* weights, float* scale, int dim, in KvRows values, in KvRows next, float* result)
        where TElement : IKvElement
    {
        int tokens = values.Tokens, lanes = TWidth.Lanes, vectors = dim / lanes, strips = (vectors + 7) / 8, size = TElement.SizeBytes;
        nint stride = values.StrideBytes;
        for (int strip = 0; strip < strips; strip++)
        {
            next.Prefetch(strip, strips);
            int last = Math.Min(7, vectors - 1 - 8 * strip) * lanes;
            int c1 = Math.Min(lanes, last), c2 = Math.Min(2 * lanes, last), c3 = Math.Min(3 * lanes, last), c4 = Math.Min(4 * lanes, last);
            int c5 = Math.Min(5 * lanes, last), c6 = Math.Min(6 * lanes, last);
            float* r = result + 8 * strip * lanes;
            TVector a0 = Scaled(r, scale[0]), a1 = Scaled(r + c1, scale[0]), a2 = Scaled(r + c2, scale[0]), a3 = Scaled(r + c3, scale[0]);
            TVector a4 = Scaled(r + c4, scale[0]), a5 = Scaled(r + c5, scale[0]), a6 = Scaled(r + c6, scale[0]), a7 = Scaled(r + last, scale[0]);
            byte* v = values.First + (long)8 * strip * lanes * size;
            for (nint t = 0; t < tokens; t++, v += stride)
            {
                TVector w = TMath.Broadcast(weights[t]);
                a0 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, 0), w, a0);
                a1 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, (nuint)(c1 * size)), w, a1);
                a2 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, (nuint)(c2 * size)), w, a2);
                a3 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, (nuint)(c3 * size)), w, a3);
                a4 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, (nuint)(c4 * size)), w, a4);
                a5 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, (nuint)(c5 * size)), w, a5);
                a6 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, (nuint)(c6 * size)), w, a6);
                a7 = TMath.MultiplyAdd(TElement.Load<TWidth, TVector>(ref *v, (nuint)(last * size)), w, a7);
            }

            Store(a0, r);
            Store(a1, r + c1);
            Store(a2, r + c2);
            Store(a3, r + c3);
            Store(a4, r + c4);
            Store(a5, r + c5);
            Store(a6, r + c6);
            Store(a7, r + last);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Scaled(float* at, float scale) => TWidth.MultiplySingle(TWidth.Load32(ref *(byte*)at, 0), TMath.Broadcast(scale));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Store(TVector value, float* at) => TWidth.Store32(value, ref *(byte*)at, 0);
}
