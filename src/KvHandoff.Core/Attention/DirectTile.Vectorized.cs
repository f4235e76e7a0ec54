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

    internal static bool Fits(int keyDim, int valueDim) => keyDim % TWidth.Lanes == 0 && valueDim % TWidth.Lanes == 0;

    internal static void Attend(AttendTile* tile)
    {
        int rows = tile->Rows, keyDim = tile->KeyDim, valueDim = tile->ValueDim, tokens = tile->Tokens;
        float* scores = (float*)tile->Scratch, scale = scores + (long)rows * AttendTile.MostTokens;
        float* scaledQuery = scale + ((rows + 15) & ~15), sums = scaledQuery + (long)rows * keyDim, wide = sums + (long)rows * valueDim;
        var keys = new KvRows(tile->Keys, tile->KeyStrideBytes, keyDim * TElement.SizeBytes, tokens);
        var values = new KvRows(tile->Values, tile->ValueStrideBytes, valueDim * TElement.SizeBytes, tokens);
        var nextKeys = new KvRows(tile->NextKeys, tile->KeyStrideBytes, keys.RowBytes, tile->NextTokens);
        var nextValues = new KvRows(tile->NextValues, tile->ValueStrideBytes, values.RowBytes, tile->NextTokens);
        bool widen = TElement.WidensIntoScratch && rows > RowsAtOnce;

        float* query = tile->Query;
        if (tile->KeyChannelScales is not null)
        {
            for (int row = 0; row < rows; row++) Multiply(query + (long)row * keyDim, tile->KeyChannelScales, keyDim, scaledQuery + (long)row * keyDim);
            query = scaledQuery;
        }

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

        float* output = tile->Output;
        if (tile->ValueChannelScales is not null)
        {
            new Span<float>(sums, rows * valueDim).Clear();
            output = sums;
        }

        float* before = scaledQuery;
        if (output == sums) Buffer.MemoryCopy(scale, before, (long)rows * sizeof(float), (long)rows * sizeof(float));

        if (!widen) RowProducts<TWidth, TMath, TVector>.Accumulate<TElement>(scores, scale, rows, valueDim, values, nextValues, output);
        for (int from = 0; widen && from < tokens; from += WideTokens)
        {
            // Only the first half meets what was summed before.
            if (from != 0) new Span<float>(scale, rows).Fill(1);
            KvRows part = Widen(values.Part(from, Math.Min(WideTokens, tokens - from)), valueDim, wide);
            RowProducts<TWidth, TMath, TVector>.Accumulate<Float32Element>(scores + from, scale, rows, valueDim, part, Half(nextValues, from), output);
        }

        for (int row = 0; output == sums && row < rows; row++)
            Combine(tile->Output + (long)row * valueDim, before[row], sums + (long)row * valueDim, tile->ValueChannelScales, valueDim);
    }

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

    static KvRows Half(in KvRows next, int from)
    {
        int first = Math.Min(from, next.Tokens);
        return next.First is null ? next : next.Part(first, Math.Min(WideTokens, next.Tokens - first));
    }

    static KvRows Widen(in KvRows rows, int dim, float* wide)
    {
        nuint step = (nuint)(TWidth.Lanes * TElement.SizeBytes), rowBytes = (nuint)rows.RowBytes;
        float* to = wide;
        for (int t = 0; t < rows.Tokens; t++)
        {
            byte* row = rows.First + t * rows.StrideBytes;
            for (nuint at = 0; at < rowBytes; at += step, to += TWidth.Lanes)
                TWidth.Store32(TElement.Load<TWidth, TVector>(ref *row, at), ref *(byte*)to, 0);
        }

        return new KvRows((byte*)wide, dim * sizeof(float), dim * sizeof(float), rows.Tokens);
    }

    static void Multiply(float* left, float* right, int dim, float* product)
    {
        for (nuint at = 0; at < (nuint)dim * sizeof(float); at += (nuint)(TWidth.Lanes * sizeof(float)))
            TWidth.Store32(TWidth.MultiplySingle(TWidth.Load32(ref *(byte*)left, at), TWidth.Load32(ref *(byte*)right, at)), ref *(byte*)product, at);
    }
}
