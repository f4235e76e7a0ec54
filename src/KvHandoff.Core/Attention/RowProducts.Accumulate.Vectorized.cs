using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

static unsafe partial class RowProducts<TWidth, TMath, TVector>
{
    /// <summary>Lays the weights of four query rows together: <c>[token][4]</c> for rows 0 to 3, then for the next four.</summary>
    internal static void LayTogether(float* weights, int group, int tokens, float* together)
    {
        for (int g = 0; g < group; g += 4, together += 4 * ScoreStride)
        {
            float* w0 = weights + g * ScoreStride, w1 = weights + Math.Min(g + 1, group - 1) * ScoreStride;
            float* w2 = weights + Math.Min(g + 2, group - 1) * ScoreStride, w3 = weights + Math.Min(g + 3, group - 1) * ScoreStride;
            for (int t = 0; t < tokens; t += 4)
            {
                Vector128<float> a = Vector128.Load(w0 + t), b = Vector128.Load(w1 + t), c = Vector128.Load(w2 + t), d = Vector128.Load(w3 + t);
                SingleMath128.Transpose(ref a, ref b, ref c, ref d);
                a.Store(together + 4 * t);
                b.Store(together + 4 * t + 4);
                c.Store(together + 4 * t + 8);
                d.Store(together + 4 * t + 12);
            }
        }
    }

    /// <summary>Adds the rows, each times its weight, to <c>result[query row][dim]</c>, which is first multiplied by <c>scale[query row]</c>.</summary>
    /// <remarks>The weights of more than two rows are laid together.</remarks>
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
        int tokens = values.Tokens, pairs = dim / (2 * TWidth.Lanes), part = 0, parts = (group + 3) / 4 * pairs;
        nint stride = values.StrideBytes;
        for (int pair = 0; pair < pairs; pair++)
        {
            int column = 2 * pair * TWidth.Lanes;
            for (int g = 0; g < group; g += 4)
            {
                next.Prefetch(part++, parts);
                // Where heads run out, the last one is computed again and stored twice, with the same numbers.
                int h1 = Math.Min(g + 1, group - 1), h2 = Math.Min(g + 2, group - 1), h3 = Math.Min(g + 3, group - 1);
                float* r0 = result + g * dim + column, r1 = result + h1 * dim + column, r2 = result + h2 * dim + column, r3 = result + h3 * dim + column;
                Scaled<TElement>(r0, scale[g], out TVector a0, out TVector b0);
                Scaled<TElement>(r1, scale[h1], out TVector a1, out TVector b1);
                Scaled<TElement>(r2, scale[h2], out TVector a2, out TVector b2);
                Scaled<TElement>(r3, scale[h3], out TVector a3, out TVector b3);
                float* p = weights + (long)g * ScoreStride;
                byte* v = values.First + column * TElement.SizeBytes;
                for (nint t = 0; t < tokens; t++, v += stride, p += 4)
                {
                    TVector x = TElement.LoadFirst<TWidth, TVector>(ref *v, 0), y = TElement.LoadSecond<TWidth, TVector>(ref *v, 0);
                    TVector w = TMath.Broadcast(p[0]);
                    a0 = TMath.MultiplyAdd(x, w, a0);
                    b0 = TMath.MultiplyAdd(y, w, b0);
                    w = TMath.Broadcast(p[1]);
                    a1 = TMath.MultiplyAdd(x, w, a1);
                    b1 = TMath.MultiplyAdd(y, w, b1);
                    w = TMath.Broadcast(p[2]);
                    a2 = TMath.MultiplyAdd(x, w, a2);
                    b2 = TMath.MultiplyAdd(y, w, b2);
                    w = TMath.Broadcast(p[3]);
                    a3 = TMath.MultiplyAdd(x, w, a3);
                    b3 = TMath.MultiplyAdd(y, w, b3);
                }

                Store<TElement>(a3, b3, r3);
                Store<TElement>(a2, b2, r2);
                Store<TElement>(a1, b1, r1);
                Store<TElement>(a0, b0, r0);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate2x4<TElement>(float* weights, float* scale, int dim, in KvRows values, in KvRows next, float* result)
        where TElement : IKvElement
    {
        int tokens = values.Tokens, pair = 2 * TWidth.Lanes, strips = (dim + 2 * pair - 1) / (2 * pair);
        nint stride = values.StrideBytes;
        float* w0 = weights, w1 = weights + ScoreStride;
        for (int strip = 0; strip < strips; strip++)
        {
            next.Prefetch(strip, strips);
            // Where columns run out, the last pair is computed again.
            int c0 = 2 * strip * pair, c1 = Math.Min(c0 + pair, dim - pair);
            float* r0 = result + c0, r1 = result + c1;
            Scaled<TElement>(r0, scale[0], out TVector a0, out TVector a1);
            Scaled<TElement>(r1, scale[0], out TVector a2, out TVector a3);
            Scaled<TElement>(r0 + dim, scale[1], out TVector b0, out TVector b1);
            Scaled<TElement>(r1 + dim, scale[1], out TVector b2, out TVector b3);
            byte* v = values.First + c0 * TElement.SizeBytes;
            nuint second = (nuint)((c1 - c0) * TElement.SizeBytes);
            for (nint t = 0; t < tokens; t++, v += stride)
            {
                TVector p = TMath.Broadcast(w0[t]), w = TMath.Broadcast(w1[t]);
                TVector x = TElement.LoadFirst<TWidth, TVector>(ref *v, 0);
                a0 = TMath.MultiplyAdd(x, p, a0);
                b0 = TMath.MultiplyAdd(x, w, b0);
                x = TElement.LoadSecond<TWidth, TVector>(ref *v, 0);
                a1 = TMath.MultiplyAdd(x, p, a1);
                b1 = TMath.MultiplyAdd(x, w, b1);
                x = TElement.LoadFirst<TWidth, TVector>(ref *v, second);
                a2 = TMath.MultiplyAdd(x, p, a2);
                b2 = TMath.MultiplyAdd(x, w, b2);
                x = TElement.LoadSecond<TWidth, TVector>(ref *v, second);
                a3 = TMath.MultiplyAdd(x, p, a3);
                b3 = TMath.MultiplyAdd(x, w, b3);
            }

            Store<TElement>(a0, a1, r0);
            Store<TElement>(a2, a3, r1);
            Store<TElement>(b0, b1, r0 + dim);
            Store<TElement>(b2, b3, r1 + dim);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate1x8<TElement>(float* weights, float* scale, int dim, in KvRows values, in KvRows next, float* result)
        where TElement : IKvElement
    {
        int tokens = values.Tokens, pair = 2 * TWidth.Lanes, strips = (dim + 4 * pair - 1) / (4 * pair), size = TElement.SizeBytes;
        nint stride = values.StrideBytes;
        for (int strip = 0; strip < strips; strip++)
        {
            next.Prefetch(strip, strips);
            int c0 = 4 * strip * pair, c1 = Math.Min(c0 + pair, dim - pair), c2 = Math.Min(c0 + 2 * pair, dim - pair), c3 = Math.Min(c0 + 3 * pair, dim - pair);
            Scaled<TElement>(result + c0, scale[0], out TVector a0, out TVector a1);
            Scaled<TElement>(result + c1, scale[0], out TVector a2, out TVector a3);
            Scaled<TElement>(result + c2, scale[0], out TVector a4, out TVector a5);
            Scaled<TElement>(result + c3, scale[0], out TVector a6, out TVector a7);
            byte* v = values.First + c0 * size;
            nuint o1 = (nuint)((c1 - c0) * size), o2 = (nuint)((c2 - c0) * size), o3 = (nuint)((c3 - c0) * size);
            for (nint t = 0; t < tokens; t++, v += stride)
            {
                TVector w = TMath.Broadcast(weights[t]);
                a0 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *v, 0), w, a0);
                a1 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *v, 0), w, a1);
                a2 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *v, o1), w, a2);
                a3 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *v, o1), w, a3);
                a4 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *v, o2), w, a4);
                a5 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *v, o2), w, a5);
                a6 = TMath.MultiplyAdd(TElement.LoadFirst<TWidth, TVector>(ref *v, o3), w, a6);
                a7 = TMath.MultiplyAdd(TElement.LoadSecond<TWidth, TVector>(ref *v, o3), w, a7);
            }

            Store<TElement>(a0, a1, result + c0);
            Store<TElement>(a2, a3, result + c1);
            Store<TElement>(a4, a5, result + c2);
            Store<TElement>(a6, a7, result + c3);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Scaled<TElement>(float* at, float scale, out TVector first, out TVector second)
        where TElement : IKvElement
    {
        TVector factor = TMath.Broadcast(scale);
        TVector low = TWidth.MultiplySingle(TWidth.Load32(ref *(byte*)at, 0), factor);
        TVector high = TWidth.MultiplySingle(TWidth.Load32(ref *(byte*)(at + TWidth.Lanes), 0), factor);
        if (TElement.LoadsEvenFirst) TWidth.Unzip(low, high, out first, out second);
        else (first, second) = (low, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Store<TElement>(TVector first, TVector second, float* at)
        where TElement : IKvElement
    {
        if (TElement.LoadsEvenFirst) TWidth.Zip(first, second, out first, out second);
        TWidth.Store32(first, ref *(byte*)at, 0);
        TWidth.Store32(second, ref *(byte*)(at + TWidth.Lanes), 0);
    }
}
