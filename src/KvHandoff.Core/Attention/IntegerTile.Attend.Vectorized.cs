using System.Runtime.CompilerServices;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary><see cref="IntegerTile"/> in vectors. All widths make the same codes and the same integers.</summary>
static unsafe partial class IntegerTile<TWidth, TMath, TInteger, TVector>
    where TWidth : ISimdWidth<TVector>
    where TMath : ISingleMath<TVector>
    where TInteger : IIntegerTileWidth<TVector>
    where TVector : struct
{
    const int ScoreStride = AttendTile.MostTokens;

    // In place of a unit: the row sees nothing of this tile.
    const float Unseen = -1;

    /// <summary><see cref="IntegerTile.Prepare"/>.</summary>
    internal static void Prepare(float* query, int rows, int keyDim, byte* prepared) => QuantiseRows(query, null, rows, keyDim, prepared, null);

    /// <summary>One step; rows and dims as <see cref="IntegerTile.Fits"/> allows them.</summary>
    internal static void Attend(AttendTile* tile)
    {
        // Rows are worked on in fours: what the loops read and write of rows behind the last is of no effect.
        int rows = tile->Rows, keyDim = tile->KeyDim, rowFloatBytes = IntegerTile.StepBytes(rows), wholeRows = (rows + 3) & ~3;
        byte* at = tile->Scratch;
        float* units = (float*)at, rescales = (float*)(at + rowFloatBytes), scores = (float*)(at + 2 * rowFloatBytes);
        short* weights = (short*)(scores + (long)wholeRows * ScoreStride);
        byte* prepared = tile->Prepared;
        if (prepared == null || tile->KeyChannelScales != null)
        {
            prepared = (byte*)(weights + (long)wholeRows * ScoreStride);
            QuantiseRows(tile->Query, tile->KeyChannelScales, rows, keyDim, prepared, (float*)(prepared + IntegerTile.PreparedBytes(rows, keyDim)));
        }

        Dot((short*)(prepared + rowFloatBytes), tile, (int*)scores);
        for (int r = 0; r < rows; r++) ToSingles(scores + r * ScoreStride, tile->Tokens, ((float*)prepared)[r]);
        TileSoftmax<TWidth, TMath, TVector>.Weights(scores, rescales, *tile);
        for (int r = 0; r < rows; r++)
        {
            float* score = scores + r * ScoreStride;
            TileSoftmax<TWidth, TMath, TVector>.ScaleByToken(score, *tile, r);
            (int from, int to) = TileSoftmax.Visible(*tile, r);
            float unit = Quantise(score, (tile->Tokens + 15) & ~15, weights + r * ScoreStride);
            units[r] = from < to ? unit : Unseen;
        }

        Accumulate(weights, units, rescales, tile);
    }

    // products: room for one row, used where there are channel scales.
    static void QuantiseRows(float* query, float* channelScales, int rows, int keyDim, byte* prepared, float* products)
    {
        short* codes = (short*)(prepared + IntegerTile.StepBytes(rows));
        for (int r = 0; r < rows; r++)
        {
            float* values = query + (long)r * keyDim;
            if (channelScales != null)
            {
                Multiply(values, channelScales, keyDim, products);
                values = products;
            }

            ((float*)prepared)[r] = Quantise(values, keyDim, codes + (long)r * keyDim);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Multiply(float* left, float* right, int count, float* products)
    {
        for (nint i = 0; i < count; i += TWidth.Lanes)
            TWidth.Store32(TWidth.MultiplySingle(TWidth.Load32(ref *(byte*)(left + i), 0), TWidth.Load32(ref *(byte*)(right + i), 0)), ref *(byte*)(products + i), 0);
    }

    /// <summary><see cref="IntegerTile.Quantise(ReadOnlySpan{float}, ReadOnlySpan{float}, Span{short})"/> of whole pairs of vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static float Quantise(float* values, int count, short* codes)
    {
        ref byte source = ref *(byte*)values;
        nuint bytes = (nuint)count * sizeof(float), step = (nuint)TWidth.Lanes * sizeof(float);
        TVector magnitude = TWidth.Create(0x7FFF_FFFF), largest = TMath.Broadcast(IntegerTile.SmallestLargest), other = largest;
        for (nuint i = 0; i < bytes; i += 2 * step)
        {
            // As integers NaN is above infinity, and both above all numbers.
            largest = TWidth.Max(largest, TWidth.And(TWidth.Load32(ref source, i), magnitude));
            other = TWidth.Max(other, TWidth.And(TWidth.Load32(ref source, i + step), magnitude));
        }

        float most = BitConverter.UInt32BitsToSingle(TWidth.LargestUInt32(TWidth.Max(largest, other)));
        bool isFinite = float.IsFinite(most);
        TVector inverse = TMath.Broadcast(isFinite ? IntegerTile.LargestCode / most : 0);
        for (nuint i = 0; i < bytes; i += 2 * step)
        {
            TVector first = TWidth.MultiplySingle(TWidth.Load32(ref source, i), inverse), second = TWidth.MultiplySingle(TWidth.Load32(ref source, i + step), inverse);
            TInteger.StoreRounded(first, second, ref *(byte*)codes, i / 2);
        }

        return isFinite ? most / IntegerTile.LargestCode : float.NaN;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void ToSingles(float* sums, int tokens, float unit)
    {
        ref byte bytes = ref *(byte*)sums;
        TVector factor = TMath.Broadcast(unit);
        for (nuint i = 0; i < (nuint)tokens * sizeof(float); i += (nuint)TWidth.Lanes * sizeof(float))
            TWidth.Store32(TWidth.MultiplySingle(TWidth.ToSingle(TWidth.Load32(ref bytes, i)), factor), ref bytes, i);
    }
}
