using System.Runtime.CompilerServices;

namespace KvHandoff.Attention;

// Twelve sums, two columns and one broadcast: fifteen registers. Where rows run out, the last one is computed again: all is read
// before anything is stored, so it gives the same numbers in the same places.
static unsafe partial class PanelTile<TElement, TWidth, TMath, TVector>
{
    static void Score(float* query, int count, nint dim, float* panel, float* scores)
    {
        if (count > 4) Score6(query, count - 1, dim, panel, scores);
        else Score4(query, count - 1, dim, panel, scores);
    }

    static void Accumulate(AttendTile* tile, int first, int count, float* weights, float* rescales, float* values)
    {
        float* output = tile->Output + (long)first * tile->ValueDim;
        if (count > 4) Accumulate6(output, count - 1, tile->ValueDim, weights, rescales, values, tile->Tokens);
        else Accumulate4(output, count - 1, tile->ValueDim, weights, rescales, values, tile->Tokens);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Score6(float* q0, int last, nint dim, float* panel, float* s0)
    {
        float* q1 = q0 + Math.Min(1, last) * dim, q2 = q0 + Math.Min(2, last) * dim, q3 = q0 + Math.Min(3, last) * dim;
        float* q4 = q0 + Math.Min(4, last) * dim, q5 = q0 + last * dim;
        TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default;
        TVector b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default;
        for (nint d = 0; d < dim; d++, panel += PanelColumns)
        {
            TVector x = Load(panel), y = Load(panel + TWidth.Lanes);
            TVector q = TMath.Broadcast(q0[d]);
            a0 = TMath.MultiplyAdd(q, x, a0);
            b0 = TMath.MultiplyAdd(q, y, b0);
            q = TMath.Broadcast(q1[d]);
            a1 = TMath.MultiplyAdd(q, x, a1);
            b1 = TMath.MultiplyAdd(q, y, b1);
            q = TMath.Broadcast(q2[d]);
            a2 = TMath.MultiplyAdd(q, x, a2);
            b2 = TMath.MultiplyAdd(q, y, b2);
            q = TMath.Broadcast(q3[d]);
            a3 = TMath.MultiplyAdd(q, x, a3);
            b3 = TMath.MultiplyAdd(q, y, b3);
            q = TMath.Broadcast(q4[d]);
            a4 = TMath.MultiplyAdd(q, x, a4);
            b4 = TMath.MultiplyAdd(q, y, b4);
            q = TMath.Broadcast(q5[d]);
            a5 = TMath.MultiplyAdd(q, x, a5);
            b5 = TMath.MultiplyAdd(q, y, b5);
        }

        StorePair(a0, b0, s0, TWidth.Lanes);
        StorePair(a1, b1, s0 + Math.Min(1, last) * ScoreStride, TWidth.Lanes);
        StorePair(a2, b2, s0 + Math.Min(2, last) * ScoreStride, TWidth.Lanes);
        StorePair(a3, b3, s0 + Math.Min(3, last) * ScoreStride, TWidth.Lanes);
        StorePair(a4, b4, s0 + Math.Min(4, last) * ScoreStride, TWidth.Lanes);
        StorePair(a5, b5, s0 + last * ScoreStride, TWidth.Lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate6(float* o0, int last, int dim, float* w0, float* rescales, float* values, int tokens)
    {
        int i1 = Math.Min(1, last), i2 = Math.Min(2, last), i3 = Math.Min(3, last), i4 = Math.Min(4, last);
        float* w1 = w0 + i1 * ScoreStride, w2 = w0 + i2 * ScoreStride, w3 = w0 + i3 * ScoreStride, w4 = w0 + i4 * ScoreStride, w5 = w0 + last * ScoreStride;
        for (nint left = dim; left > 0; left -= PanelColumns, o0 += PanelColumns, values += ValuePanel(tokens))
        {
            // Of an odd number of vectors the last is taken twice.
            nint second = left > TWidth.Lanes ? TWidth.Lanes : 0;
            TVector w = TMath.Broadcast(rescales[0]);
            TVector a0 = TWidth.MultiplySingle(Load(o0), w), b0 = TWidth.MultiplySingle(Load(o0 + second), w);
            w = TMath.Broadcast(rescales[i1]);
            TVector a1 = TWidth.MultiplySingle(Load(o0 + i1 * dim), w), b1 = TWidth.MultiplySingle(Load(o0 + i1 * dim + second), w);
            w = TMath.Broadcast(rescales[i2]);
            TVector a2 = TWidth.MultiplySingle(Load(o0 + i2 * dim), w), b2 = TWidth.MultiplySingle(Load(o0 + i2 * dim + second), w);
            w = TMath.Broadcast(rescales[i3]);
            TVector a3 = TWidth.MultiplySingle(Load(o0 + i3 * dim), w), b3 = TWidth.MultiplySingle(Load(o0 + i3 * dim + second), w);
            w = TMath.Broadcast(rescales[i4]);
            TVector a4 = TWidth.MultiplySingle(Load(o0 + i4 * dim), w), b4 = TWidth.MultiplySingle(Load(o0 + i4 * dim + second), w);
            w = TMath.Broadcast(rescales[last]);
            TVector a5 = TWidth.MultiplySingle(Load(o0 + last * dim), w), b5 = TWidth.MultiplySingle(Load(o0 + last * dim + second), w);
            float* panel = values;
            for (nint t = 0; t < tokens; t++, panel += PanelColumns)
            {
                TVector x = Load(panel), y = Load(panel + second);
                w = TMath.Broadcast(w0[t]);
                a0 = TMath.MultiplyAdd(w, x, a0);
                b0 = TMath.MultiplyAdd(w, y, b0);
                w = TMath.Broadcast(w1[t]);
                a1 = TMath.MultiplyAdd(w, x, a1);
                b1 = TMath.MultiplyAdd(w, y, b1);
                w = TMath.Broadcast(w2[t]);
                a2 = TMath.MultiplyAdd(w, x, a2);
                b2 = TMath.MultiplyAdd(w, y, b2);
                w = TMath.Broadcast(w3[t]);
                a3 = TMath.MultiplyAdd(w, x, a3);
                b3 = TMath.MultiplyAdd(w, y, b3);
                w = TMath.Broadcast(w4[t]);
                a4 = TMath.MultiplyAdd(w, x, a4);
                b4 = TMath.MultiplyAdd(w, y, b4);
                w = TMath.Broadcast(w5[t]);
                a5 = TMath.MultiplyAdd(w, x, a5);
                b5 = TMath.MultiplyAdd(w, y, b5);
            }

            StorePair(a0, b0, o0, second);
            StorePair(a1, b1, o0 + i1 * dim, second);
            StorePair(a2, b2, o0 + i2 * dim, second);
            StorePair(a3, b3, o0 + i3 * dim, second);
            StorePair(a4, b4, o0 + i4 * dim, second);
            StorePair(a5, b5, o0 + last * dim, second);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Score4(float* q0, int last, nint dim, float* panel, float* s0)
    {
        float* q1 = q0 + Math.Min(1, last) * dim, q2 = q0 + Math.Min(2, last) * dim, q3 = q0 + last * dim;
        TVector a0 = default, a1 = default, a2 = default, a3 = default;
        TVector b0 = default, b1 = default, b2 = default, b3 = default;
        for (nint d = 0; d < dim; d++, panel += PanelColumns)
        {
            TVector x = Load(panel), y = Load(panel + TWidth.Lanes);
            TVector q = TMath.Broadcast(q0[d]);
            a0 = TMath.MultiplyAdd(q, x, a0);
            b0 = TMath.MultiplyAdd(q, y, b0);
            q = TMath.Broadcast(q1[d]);
            a1 = TMath.MultiplyAdd(q, x, a1);
            b1 = TMath.MultiplyAdd(q, y, b1);
            q = TMath.Broadcast(q2[d]);
            a2 = TMath.MultiplyAdd(q, x, a2);
            b2 = TMath.MultiplyAdd(q, y, b2);
            q = TMath.Broadcast(q3[d]);
            a3 = TMath.MultiplyAdd(q, x, a3);
            b3 = TMath.MultiplyAdd(q, y, b3);
        }

        StorePair(a0, b0, s0, TWidth.Lanes);
        StorePair(a1, b1, s0 + Math.Min(1, last) * ScoreStride, TWidth.Lanes);
        StorePair(a2, b2, s0 + Math.Min(2, last) * ScoreStride, TWidth.Lanes);
        StorePair(a3, b3, s0 + last * ScoreStride, TWidth.Lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Accumulate4(float* o0, int last, int dim, float* w0, float* rescales, float* values, int tokens)
    {
        int i1 = Math.Min(1, last), i2 = Math.Min(2, last);
        float* w1 = w0 + i1 * ScoreStride, w2 = w0 + i2 * ScoreStride, w3 = w0 + last * ScoreStride;
        for (nint left = dim; left > 0; left -= PanelColumns, o0 += PanelColumns, values += ValuePanel(tokens))
        {
            // Of an odd number of vectors the last is taken twice.
            nint second = left > TWidth.Lanes ? TWidth.Lanes : 0;
            TVector w = TMath.Broadcast(rescales[0]);
            TVector a0 = TWidth.MultiplySingle(Load(o0), w), b0 = TWidth.MultiplySingle(Load(o0 + second), w);
            w = TMath.Broadcast(rescales[i1]);
            TVector a1 = TWidth.MultiplySingle(Load(o0 + i1 * dim), w), b1 = TWidth.MultiplySingle(Load(o0 + i1 * dim + second), w);
            w = TMath.Broadcast(rescales[i2]);
            TVector a2 = TWidth.MultiplySingle(Load(o0 + i2 * dim), w), b2 = TWidth.MultiplySingle(Load(o0 + i2 * dim + second), w);
            w = TMath.Broadcast(rescales[last]);
            TVector a3 = TWidth.MultiplySingle(Load(o0 + last * dim), w), b3 = TWidth.MultiplySingle(Load(o0 + last * dim + second), w);
            float* panel = values;
            for (nint t = 0; t < tokens; t++, panel += PanelColumns)
            {
                TVector x = Load(panel), y = Load(panel + second);
                w = TMath.Broadcast(w0[t]);
                a0 = TMath.MultiplyAdd(w, x, a0);
                b0 = TMath.MultiplyAdd(w, y, b0);
                w = TMath.Broadcast(w1[t]);
                a1 = TMath.MultiplyAdd(w, x, a1);
                b1 = TMath.MultiplyAdd(w, y, b1);
                w = TMath.Broadcast(w2[t]);
                a2 = TMath.MultiplyAdd(w, x, a2);
                b2 = TMath.MultiplyAdd(w, y, b2);
                w = TMath.Broadcast(w3[t]);
                a3 = TMath.MultiplyAdd(w, x, a3);
                b3 = TMath.MultiplyAdd(w, y, b3);
            }

            StorePair(a0, b0, o0, second);
            StorePair(a1, b1, o0 + i1 * dim, second);
            StorePair(a2, b2, o0 + i2 * dim, second);
            StorePair(a3, b3, o0 + last * dim, second);
        }
    }

    /// <summary>The same for rows of which some do not see all: token by token only what each sees, so that nothing else can get in.</summary>
    static void AccumulateVisible(AttendTile* tile, int first, int count, float* weights, float* rescales, float* values)
    {
        nint dim = tile->ValueDim, panel = ValuePanel(tile->Tokens);
        for (int i = 0; i < count; i++)
        {
            (int from, int to) = TileSoftmax.Visible(*tile, first + i);
            if (from >= to) continue;
            float* output = tile->Output + (first + i) * dim, value = values + (nint)from * PanelColumns;
            for (nint d = 0; d < dim; d += 2 * PanelColumns, value += 2 * panel)
            {
                // Where columns run out, the last vector is taken again.
                nint last = dim - TWidth.Lanes - d;
                AccumulateRow(output + d, last, panel, weights + i * ScoreStride + from, rescales[i], value, to - from);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void AccumulateRow(float* output, nint last, nint panel, float* weights, float rescale, float* value, nint tokens)
    {
        nint c1 = Math.Min(TWidth.Lanes, last), c2 = Math.Min(2 * TWidth.Lanes, last), c3 = Math.Min(3 * TWidth.Lanes, last);
        nint v1 = c1, v2 = c2 / PanelColumns * panel + c2 % PanelColumns, v3 = c3 / PanelColumns * panel + c3 % PanelColumns;
        TVector w = TMath.Broadcast(rescale);
        TVector a0 = TWidth.MultiplySingle(Load(output), w), a1 = TWidth.MultiplySingle(Load(output + c1), w);
        TVector a2 = TWidth.MultiplySingle(Load(output + c2), w), a3 = TWidth.MultiplySingle(Load(output + c3), w);
        for (nint t = 0; t < tokens; t++, value += PanelColumns)
        {
            w = TMath.Broadcast(weights[t]);
            a0 = TMath.MultiplyAdd(w, Load(value), a0);
            a1 = TMath.MultiplyAdd(w, Load(value + v1), a1);
            a2 = TMath.MultiplyAdd(w, Load(value + v2), a2);
            a3 = TMath.MultiplyAdd(w, Load(value + v3), a3);
        }

        StorePair(a0, a1, output, c1);
        StorePair(a2, a3, output + c2, c3 - c2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void StorePair(TVector first, TVector second, float* at, nint distance)
    {
        Store(first, at);
        Store(second, at + distance);
    }
}
