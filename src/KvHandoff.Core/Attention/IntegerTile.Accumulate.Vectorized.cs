using System.Runtime.CompilerServices;

namespace KvHandoff.Attention;

static unsafe partial class IntegerTile<TWidth, TMath, TInteger, TVector>
{
    const int PairStride = ScoreStride / 2;

    /// <summary>Adds the weighted values of the tile to the outputs, which are first multiplied by <paramref name="rescales"/>.</summary>
    static void Accumulate(short* weights, float* units, float* rescales, AttendTile* tile)
    {
        int rows = tile->Rows, r = 0;
        for (; rows - r > 2; r += 4) Accumulate4x2(weights, units, rescales, r, Math.Min(4, rows - r), tile);
        if (rows - r == 2) Accumulate2x4(weights, units, rescales, r, tile);
        else if (rows - r == 1) Accumulate1x8(weights, units, rescales, r, tile);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate4x2(short* weights, float* units, float* rescales, int row, int rows, AttendTile* tile)
    {
        nint stride = (nint)tile->ValueStrideBytes;
        for (int c = 0, dim = tile->ValueDim; c < dim; c += 2 * TWidth.Lanes)
        {
            if (row == 0) FetchValues(tile, c, 2 * TWidth.Lanes);
            TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
            byte* v = tile->Values + c;
            uint* pairs = Pairs(weights, row);
            int left = tile->Tokens;
            // First the whole pairs. Of an odd last token the pair is the row itself, with the weight 0.
            for (nint second = left > 1 ? stride : 0; left > 0; second = 0)
            {
                for (uint* end = pairs + Math.Max(1, left / 2); pairs < end; pairs++, v += 2 * stride)
                {
                    TInteger.Pair(TWidth.LoadSigned8(ref *v, 0), TWidth.LoadSigned8(ref v[second], 0), out TVector x, out TVector y);
                    TVector w = TWidth.Create(*pairs);
                    a0 = TInteger.MultiplyAddPairs(x, w, a0);
                    b0 = TInteger.MultiplyAddPairs(y, w, b0);
                    w = TWidth.Create(pairs[PairStride]);
                    a1 = TInteger.MultiplyAddPairs(x, w, a1);
                    b1 = TInteger.MultiplyAddPairs(y, w, b1);
                    w = TWidth.Create(pairs[2 * PairStride]);
                    a2 = TInteger.MultiplyAddPairs(x, w, a2);
                    b2 = TInteger.MultiplyAddPairs(y, w, b2);
                    w = TWidth.Create(pairs[3 * PairStride]);
                    a3 = TInteger.MultiplyAddPairs(x, w, a3);
                    b3 = TInteger.MultiplyAddPairs(y, w, b3);
                }

                left = left > 1 ? left & 1 : 0;
            }

            Add(a0, b0, tile, row, c, units, rescales);
            if (rows > 1) Add(a1, b1, tile, row + 1, c, units, rescales);
            if (rows > 2) Add(a2, b2, tile, row + 2, c, units, rescales);
            if (rows > 3) Add(a3, b3, tile, row + 3, c, units, rescales);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate2x4(short* weights, float* units, float* rescales, int row, AttendTile* tile)
    {
        nint stride = (nint)tile->ValueStrideBytes;
        for (int c = 0, dim = tile->ValueDim; c < dim; c += 4 * TWidth.Lanes)
        {
            if (row == 0) FetchValues(tile, c, 4 * TWidth.Lanes);
            // Where columns run out, the last ones are computed again and not stored.
            nint next = Math.Min(2 * TWidth.Lanes, dim - 2 * TWidth.Lanes - c);
            TVector a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
            byte* v = tile->Values + c;
            uint* pairs = Pairs(weights, row);
            int left = tile->Tokens;
            for (nint second = left > 1 ? stride : 0; left > 0; second = 0)
            {
                for (uint* end = pairs + Math.Max(1, left / 2); pairs < end; pairs++, v += 2 * stride)
                {
                    byte* odd = v + second;
                    TVector p = TWidth.Create(*pairs), w = TWidth.Create(pairs[PairStride]);
                    TInteger.Pair(TWidth.LoadSigned8(ref *v, 0), TWidth.LoadSigned8(ref *odd, 0), out TVector x, out TVector y);
                    a0 = TInteger.MultiplyAddPairs(x, p, a0);
                    b0 = TInteger.MultiplyAddPairs(x, w, b0);
                    a1 = TInteger.MultiplyAddPairs(y, p, a1);
                    b1 = TInteger.MultiplyAddPairs(y, w, b1);
                    TInteger.Pair(TWidth.LoadSigned8(ref v[next], 0), TWidth.LoadSigned8(ref odd[next], 0), out x, out y);
                    a2 = TInteger.MultiplyAddPairs(x, p, a2);
                    b2 = TInteger.MultiplyAddPairs(x, w, b2);
                    a3 = TInteger.MultiplyAddPairs(y, p, a3);
                    b3 = TInteger.MultiplyAddPairs(y, w, b3);
                }

                left = left > 1 ? left & 1 : 0;
            }

            Add(a0, a1, tile, row, c, units, rescales);
            Add(b0, b1, tile, row + 1, c, units, rescales);
            if (next == 0) continue;
            Add(a2, a3, tile, row, c + (int)next, units, rescales);
            Add(b2, b3, tile, row + 1, c + (int)next, units, rescales);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate1x8(short* weights, float* units, float* rescales, int row, AttendTile* tile)
    {
        nint stride = (nint)tile->ValueStrideBytes;
        int step = 2 * TWidth.Lanes;
        for (int c = 0, dim = tile->ValueDim; c < dim; c += 4 * step)
        {
            if (row == 0) FetchValues(tile, c, 4 * step);
            nint last = Math.Min(3 * step, dim - step - c), c1 = Math.Min(step, last), c2 = Math.Min(2 * step, last);
            TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
            byte* v = tile->Values + c;
            uint* pairs = Pairs(weights, row);
            int left = tile->Tokens;
            for (nint second = left > 1 ? stride : 0; left > 0; second = 0)
            {
                for (uint* end = pairs + Math.Max(1, left / 2); pairs < end; pairs++, v += 2 * stride)
                {
                    byte* odd = v + second;
                    TVector w = TWidth.Create(*pairs);
                    TInteger.Pair(TWidth.LoadSigned8(ref *v, 0), TWidth.LoadSigned8(ref *odd, 0), out TVector x, out TVector y);
                    a0 = TInteger.MultiplyAddPairs(x, w, a0);
                    a1 = TInteger.MultiplyAddPairs(y, w, a1);
                    TInteger.Pair(TWidth.LoadSigned8(ref v[c1], 0), TWidth.LoadSigned8(ref odd[c1], 0), out x, out y);
                    a2 = TInteger.MultiplyAddPairs(x, w, a2);
                    a3 = TInteger.MultiplyAddPairs(y, w, a3);
                    TInteger.Pair(TWidth.LoadSigned8(ref v[c2], 0), TWidth.LoadSigned8(ref odd[c2], 0), out x, out y);
                    a4 = TInteger.MultiplyAddPairs(x, w, a4);
                    a5 = TInteger.MultiplyAddPairs(y, w, a5);
                    TInteger.Pair(TWidth.LoadSigned8(ref v[last], 0), TWidth.LoadSigned8(ref odd[last], 0), out x, out y);
                    a6 = TInteger.MultiplyAddPairs(x, w, a6);
                    a7 = TInteger.MultiplyAddPairs(y, w, a7);
                }

                left = left > 1 ? left & 1 : 0;
            }

            Add(a0, a1, tile, row, c, units, rescales);
            if (c1 > 0) Add(a2, a3, tile, row, c + (int)c1, units, rescales);
            if (c2 > c1) Add(a4, a5, tile, row, c + (int)c2, units, rescales);
            if (last > c2) Add(a6, a7, tile, row, c + (int)last, units, rescales);
        }
    }

    /// <summary>output = output * rescale + sums * unit, in two vectors of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Add(TVector low, TVector high, AttendTile* tile, int row, int column, float* units, float* rescales)
    {
        // A row that sees nothing keeps its output, whatever the channel scales are.
        if (units[row] == Unseen) return;
        TInteger.SortPairs(ref low, ref high);
        TVector unit = TMath.Broadcast(units[row]), rescale = TMath.Broadcast(rescales[row]);
        low = TWidth.MultiplySingle(TWidth.ToSingle(low), unit);
        high = TWidth.MultiplySingle(TWidth.ToSingle(high), unit);
        nuint second = (nuint)TWidth.Lanes * sizeof(float);
        if (tile->ValueChannelScales != null)
        {
            ref byte scales = ref *(byte*)(tile->ValueChannelScales + column);
            low = TWidth.MultiplySingle(low, TWidth.Load32(ref scales, 0));
            high = TWidth.MultiplySingle(high, TWidth.Load32(ref scales, second));
        }

        ref byte output = ref *(byte*)(tile->Output + (long)row * tile->ValueDim + column);
        TWidth.Store32(TMath.MultiplyAdd(TWidth.Load32(ref output, 0), rescale, low), ref output, 0);
        TWidth.Store32(TMath.MultiplyAdd(TWidth.Load32(ref output, second), rescale, high), ref output, second);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static uint* Pairs(short* weights, int row) => (uint*)(weights + (long)row * ScoreStride);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void FetchValues(AttendTile* tile, int column, int columns)
    {
        int dim = tile->ValueDim, tokens = tile->NextTokens;
        TilePrefetch.Rows(tile->NextValues, tile->ValueStrideBytes, dim, tokens * column / dim, tokens * Math.Min(dim, column + columns) / dim);
    }
}
