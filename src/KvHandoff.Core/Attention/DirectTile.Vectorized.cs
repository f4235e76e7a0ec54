using System.Runtime.CompilerServices;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>A step for few query rows: products straight from the stored rows, widened in registers or, where that costs much, tile by tile.</summary>
static unsafe class DirectTile<TElement, TWidth, TMath, TVector>
    where TElement : IKvElement
    where TWidth : ISimdWidth<TVector>
    where TMath : ISingleMath<TVector>
    where TVector : struct
{
    // Widened rows of so many tokens stay in the first-level cache beside the query.
    const int WideTokens = AttendTile.MostTokens / 2;

    // The products take four query rows at once; more pass over the rows again.
    const int RowsAtOnce = 4;

    internal static bool Fits(int keyDim, int valueDim) => keyDim % (2 * TWidth.Lanes) == 0 && valueDim % (2 * TWidth.Lanes) == 0;

    /// <summary>Bytes of the query as the products read it.</summary>
    internal static long PreparedBytes(int rows, int keyDim) => (long)LaidRows(rows) * keyDim * sizeof(float);

    /// <summary>Lays the query out for tiles whose keys have no channel scales.</summary>
    internal static void Prepare(float* query, int rows, int keyDim, byte* prepared) => Arrange(query, rows, keyDim, null, (float*)prepared);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void Attend(AttendTile* tile)
    {
        int rows = tile->Rows, keyDim = tile->KeyDim, valueDim = tile->ValueDim, tokens = tile->Tokens, laidRows = LaidRows(rows);
        bool fours = rows > 2;
        float* scores = (float*)tile->Scratch, weights = scores + (long)rows * AttendTile.MostTokens, scale = weights + (long)laidRows * AttendTile.MostTokens;
        float* before = scale + ((rows + 15) & ~15), query = before + ((rows + 15) & ~15), sums = query + (long)laidRows * keyDim, wide = sums + (long)rows * valueDim;
        var keys = new KvRows(tile->Keys, tile->KeyStrideBytes, keyDim * TElement.SizeBytes, tokens);
        var values = new KvRows(tile->Values, tile->ValueStrideBytes, valueDim * TElement.SizeBytes, tokens);
        var nextKeys = new KvRows(tile->NextKeys, tile->KeyStrideBytes, keys.RowBytes, tile->NextTokens);
        var nextValues = new KvRows(tile->NextValues, tile->ValueStrideBytes, values.RowBytes, tile->NextTokens);
        bool widen = Widens(rows);
        if (tile->KeyChannelScales is null) query = (float*)tile->Prepared;
        else Arrange(tile->Query, rows, keyDim, tile->KeyChannelScales, query);
        if (!widen) RowProducts<TWidth, TMath, TVector>.Score<TElement>(query, rows, keyDim, keys, nextKeys, scores);
        for (int from = 0; widen && from < tokens; from += WideTokens)
        {
            KvRows part = Widen(keys.Part(from, Math.Min(WideTokens, tokens - from)), keyDim, wide);
            RowProducts<TWidth, TMath, TVector>.Score<Float32Element>(query, rows, keyDim, part, Half(nextKeys, from), scores + from);
        }

        for (int row = 0; row < rows; row++)
        {
            scale[row] = TileSoftmax<TWidth, TMath, TVector>.Weights(scores + (long)row * AttendTile.MostTokens, *tile, row);
            TileSoftmax<TWidth, TMath, TVector>.ScaleByToken(scores + (long)row * AttendTile.MostTokens, *tile, row);
        }

        if (fours) RowProducts<TWidth, TMath, TVector>.LayTogether(scores, rows, tokens, weights);
        else weights = scores;
        float* output = tile->Output;
        if (tile->ValueChannelScales is not null)
        {
            new Span<float>(sums, rows * valueDim).Clear();
            output = sums;
        }

        if (output == sums) Buffer.MemoryCopy(scale, before, (long)rows * sizeof(float), (long)rows * sizeof(float));

        if (!widen) RowProducts<TWidth, TMath, TVector>.Accumulate<TElement>(weights, scale, rows, valueDim, values, nextValues, output);
        for (int from = 0; widen && from < tokens; from += WideTokens)
        {
            // Only the first half meets what was summed before.
            if (from != 0) new Span<float>(scale, rows).Fill(1);
            KvRows part = Widen(values.Part(from, Math.Min(WideTokens, tokens - from)), valueDim, wide);
            RowProducts<TWidth, TMath, TVector>.Accumulate<Float32Element>(weights + 4 * from, scale, rows, valueDim, part, Half(nextValues, from), output);
        }

        for (int row = 0; output == sums && row < rows; row++)
            Combine(tile->Output + (long)row * valueDim, before[row], sums + (long)row * valueDim, tile->ValueChannelScales, valueDim);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Combine(float* output, float scale, float* sums, float* channelScales, int dim)
    {
        TVector factor = TMath.Broadcast(scale);
        for (nuint at = 0; at < (nuint)dim * sizeof(float); at += (nuint)(TWidth.Lanes * sizeof(float)))
        {
            TVector kept = TWidth.MultiplySingle(TWidth.Load32(ref *(byte*)output, at), factor);
            TVector sum = TMath.MultiplyAdd(TWidth.Load32(ref *(byte*)sums, at), TWidth.Load32(ref *(byte*)channelScales, at), kept);
            TWidth.Store32(sum, ref *(byte*)output, at);
        }
    }

    static bool Widens(int rows) => TElement.WidensIntoScratch && rows > RowsAtOnce;

    // Whole fours, where four are laid together.
    static int LaidRows(int rows) => rows > 2 ? (rows + 3) & ~3 : rows;

    static KvRows Half(in KvRows next, int from)
    {
        int first = Math.Min(from, next.Tokens);
        return next.First is null ? next : next.Part(first, Math.Min(WideTokens, next.Tokens - first));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static KvRows Widen(in KvRows rows, int dim, float* wide)
    {
        nuint step = (nuint)(2 * TWidth.Lanes * TElement.SizeBytes), rowBytes = (nuint)rows.RowBytes;
        float* to = wide;
        for (int t = 0; t < rows.Tokens; t++)
        {
            byte* row = rows.First + t * rows.StrideBytes;
            for (nuint at = 0; at < rowBytes; at += step, to += 2 * TWidth.Lanes)
            {
                TVector first = TElement.LoadFirst<TWidth, TVector>(ref *row, at), second = TElement.LoadSecond<TWidth, TVector>(ref *row, at);
                if (TElement.LoadsEvenFirst) TWidth.Zip(first, second, out first, out second);
                TWidth.Store32(first, ref *(byte*)to, 0);
                TWidth.Store32(second, ref *(byte*)(to + TWidth.Lanes), 0);
            }
        }

        return new KvRows((byte*)wide, dim * sizeof(float), dim * sizeof(float), rows.Tokens);
    }

    // The query in the order of the stored rows' pairs, channel scales multiplied in; from three rows on, four are laid together and the last
    // one fills up.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Arrange(float* query, int rows, int dim, float* channelScales, float* arranged)
    {
        bool evenFirst = TElement.LoadsEvenFirst && !Widens(rows);
        nuint lane = (nuint)(TWidth.Lanes * sizeof(float)), rowBytes = (nuint)dim * sizeof(float);
        int together = rows > 2 ? 4 : 1;
        nuint step = lane * (nuint)together;
        for (int row = 0; row < LaidRows(rows); row++)
        {
            float* from = query + (long)Math.Min(row, rows - 1) * dim;
            byte* to = (byte*)(arranged + (long)(row & -together) * dim) + (row & (together - 1)) * (int)lane;
            for (nuint at = 0; at < rowBytes; at += 2 * lane, to += 2 * step)
            {
                TVector first = TWidth.Load32(ref *(byte*)from, at), second = TWidth.Load32(ref *(byte*)from, at + lane);
                if (channelScales is not null)
                {
                    first = TWidth.MultiplySingle(first, TWidth.Load32(ref *(byte*)channelScales, at));
                    second = TWidth.MultiplySingle(second, TWidth.Load32(ref *(byte*)channelScales, at + lane));
                }

                if (evenFirst) TWidth.Unzip(first, second, out first, out second);
                TWidth.Store32(first, ref *to, 0);
                TWidth.Store32(second, ref *to, step);
            }
        }
    }
}
