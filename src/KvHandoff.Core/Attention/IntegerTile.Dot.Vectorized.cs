using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Attention;

static unsafe partial class IntegerTile<TWidth, TMath, TInteger, TVector>
{
    /// <summary>Products of every stored row with every query row: <c>sums[row][token]</c>, rows of 64.</summary>
    /// <remarks>Up to seven sums behind the last token and three rows behind the last are written too, with arbitrary numbers.</remarks>
    static void Dot(short* codes, AttendTile* tile, int* sums)
    {
        int rows = tile->Rows, dim = tile->KeyDim, r = 0;
        for (; rows - r > 2; r += 4) Dot4x2(codes + (long)r * dim, tile, r == 0, sums + (long)r * ScoreStride);
        if (rows - r == 2) Dot2x4(codes + (long)r * dim, tile, r == 0, sums + (long)r * ScoreStride);
        else if (rows - r == 1) Dot1x8(codes + (long)r * dim, tile, r == 0, sums + (long)r * ScoreStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Dot4x2(short* q0, AttendTile* tile, bool fetchNext, int* sums)
    {
        nint dim = tile->KeyDim;
        short* q1 = q0 + dim, q2 = q1 + dim, q3 = q2 + dim;
        byte* k0 = tile->Keys;
        for (int t = 0, tokens = tile->Tokens; t < tokens; t += 2)
        {
            if (fetchNext) FetchKeys(tile, t, 2);
            // An odd last row is taken twice.
            byte* k1 = k0 + (t + 1 < tokens ? (nint)tile->KeyStrideBytes : 0);
            TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
            for (nint i = 0; i < dim; i += 2 * TWidth.Lanes)
            {
                TVector x = TWidth.LoadSigned8(ref k0[i], 0), y = TWidth.LoadSigned8(ref k1[i], 0);
                TVector q = Codes(q0 + i);
                a0 = TInteger.MultiplyAddPairs(x, q, a0);
                b0 = TInteger.MultiplyAddPairs(y, q, b0);
                q = Codes(q1 + i);
                a1 = TInteger.MultiplyAddPairs(x, q, a1);
                b1 = TInteger.MultiplyAddPairs(y, q, b1);
                q = Codes(q2 + i);
                a2 = TInteger.MultiplyAddPairs(x, q, a2);
                b2 = TInteger.MultiplyAddPairs(y, q, b2);
                q = Codes(q3 + i);
                a3 = TInteger.MultiplyAddPairs(x, q, a3);
                b3 = TInteger.MultiplyAddPairs(y, q, b3);
            }

            Vector128<long> first = TInteger.Sum4(a0, b0, a1, b1).AsInt64(), second = TInteger.Sum4(a2, b2, a3, b3).AsInt64();
            *(long*)(sums + t) = first.GetElement(0);
            *(long*)(sums + t + ScoreStride) = first.GetElement(1);
            *(long*)(sums + t + 2 * ScoreStride) = second.GetElement(0);
            *(long*)(sums + t + 3 * ScoreStride) = second.GetElement(1);
            k0 = k1 + (nint)tile->KeyStrideBytes;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Dot2x4(short* q0, AttendTile* tile, bool fetchNext, int* sums)
    {
        int last = tile->Tokens - 1;
        nint dim = tile->KeyDim;
        short* q1 = q0 + dim;
        for (int t = 0; t <= last; t += 4)
        {
            if (fetchNext) FetchKeys(tile, t, 4);
            byte* k0 = Key(tile, t), k1 = Key(tile, Math.Min(t + 1, last)), k2 = Key(tile, Math.Min(t + 2, last)), k3 = Key(tile, Math.Min(t + 3, last));
            TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
            for (nint i = 0; i < dim; i += 2 * TWidth.Lanes)
            {
                TVector p = Codes(q0 + i), q = Codes(q1 + i);
                TVector x = TWidth.LoadSigned8(ref k0[i], 0);
                a0 = TInteger.MultiplyAddPairs(x, p, a0);
                b0 = TInteger.MultiplyAddPairs(x, q, b0);
                x = TWidth.LoadSigned8(ref k1[i], 0);
                a1 = TInteger.MultiplyAddPairs(x, p, a1);
                b1 = TInteger.MultiplyAddPairs(x, q, b1);
                x = TWidth.LoadSigned8(ref k2[i], 0);
                a2 = TInteger.MultiplyAddPairs(x, p, a2);
                b2 = TInteger.MultiplyAddPairs(x, q, b2);
                x = TWidth.LoadSigned8(ref k3[i], 0);
                a3 = TInteger.MultiplyAddPairs(x, p, a3);
                b3 = TInteger.MultiplyAddPairs(x, q, b3);
            }

            Vector128.Store(TInteger.Sum4(a0, a1, a2, a3), sums + t);
            Vector128.Store(TInteger.Sum4(b0, b1, b2, b3), sums + ScoreStride + t);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Dot1x8(short* codes, AttendTile* tile, bool fetchNext, int* sums)
    {
        int last = tile->Tokens - 1;
        nint dim = tile->KeyDim;
        for (int t = 0; t <= last; t += 8)
        {
            if (fetchNext) FetchKeys(tile, t, 8);
            byte* k0 = Key(tile, t), k1 = Key(tile, Math.Min(t + 1, last)), k2 = Key(tile, Math.Min(t + 2, last)), k3 = Key(tile, Math.Min(t + 3, last));
            byte* k4 = Key(tile, Math.Min(t + 4, last)), k5 = Key(tile, Math.Min(t + 5, last)), k6 = Key(tile, Math.Min(t + 6, last)), k7 = Key(tile, Math.Min(t + 7, last));
            TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
            for (nint i = 0; i < dim; i += 2 * TWidth.Lanes)
            {
                TVector q = Codes(codes + i);
                a0 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k0[i], 0), q, a0);
                a1 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k1[i], 0), q, a1);
                a2 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k2[i], 0), q, a2);
                a3 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k3[i], 0), q, a3);
                a4 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k4[i], 0), q, a4);
                a5 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k5[i], 0), q, a5);
                a6 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k6[i], 0), q, a6);
                a7 = TInteger.MultiplyAddPairs(TWidth.LoadSigned8(ref k7[i], 0), q, a7);
            }

            Vector128.Store(TInteger.Sum4(a0, a1, a2, a3), sums + t);
            Vector128.Store(TInteger.Sum4(a4, a5, a6, a7), sums + t + 4);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Codes(short* at) => TWidth.Load32(ref *(byte*)at, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static byte* Key(AttendTile* tile, int token) => tile->Keys + token * tile->KeyStrideBytes;

    // Row by row with this step's own; one that has more rows than this is fetched in part.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void FetchKeys(AttendTile* tile, int token, int count) =>
        TilePrefetch.Rows(tile->NextKeys, tile->KeyStrideBytes, tile->KeyDim, token, Math.Min(token + count, tile->NextTokens));
}
