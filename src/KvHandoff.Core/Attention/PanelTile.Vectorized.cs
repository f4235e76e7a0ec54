using System.Runtime.CompilerServices;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>
/// A step of attention for many query rows: the tile is widened once, the keys as panels of <c>[dim][tokens]</c> and the values as
/// panels of <c>[token][dims]</c>, and both products run over blocks of rows. Every score and every output element is one chain of
/// multiply-adds in order, so the bits of a row depend neither on how many rows there are nor on which it is.
/// </summary>
static unsafe partial class PanelTile<TElement, TWidth, TMath, TVector>
    where TElement : IKvElement
    where TWidth : ISimdWidth<TVector>
    where TMath : ISingleMath<TVector>
    where TVector : struct
{
    const int ScoreStride = AttendTile.MostTokens;

    /// <summary>Columns of one panel: two vectors.</summary>
    static int PanelColumns
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 2 * TWidth.Lanes;
    }

    /// <summary>Whether the kernel can take rows of these dims.</summary>
    internal static bool Fits(int keyDim, int valueDim) => keyDim > 0 && valueDim > 0 && keyDim % TWidth.Lanes == 0 && valueDim % TWidth.Lanes == 0;

    /// <summary>One step; dims as <see cref="Fits"/> allows them.</summary>
    internal static void Attend(AttendTile* tile)
    {
        int rows = tile->Rows, keyDim = tile->KeyDim, tokens = tile->Tokens;
        float* rescales = (float*)tile->Scratch, scores = rescales + ((rows + 15) & ~15);
        float* keys = scores + (long)rows * ScoreStride, values = keys + (long)ScoreStride * keyDim;
        Unpack(tile, keys, values);

        int count;
        for (int first = 0; first < rows; first += count)
        {
            count = BlockRows(rows - first);
            // The next step's rows are fetched while the blocks are worked on.
            TilePrefetch.Rows(tile->NextKeys, tile->KeyStrideBytes, keyDim * TElement.SizeBytes, Part(tile, first), Part(tile, first + count));
            if (tile->NextValues != tile->NextKeys)
                TilePrefetch.Rows(tile->NextValues, tile->ValueStrideBytes, tile->ValueDim * TElement.SizeBytes, Part(tile, first), Part(tile, first + count));

            Sight sight = Look(tile, first, count);
            if (sight == Sight.Nothing) continue;
            float* block = scores + (long)first * ScoreStride;
            for (int t = 0; t < tokens; t += PanelColumns)
                Score(tile->Query + (long)first * keyDim, count, keyDim, keys + (long)t * keyDim, block + t);
            for (int r = first; r < first + count; r++)
            {
                rescales[r] = TileSoftmax<TWidth, TMath, TVector>.Weights(scores + (long)r * ScoreStride, *tile, r);
                TileSoftmax<TWidth, TMath, TVector>.ScaleByToken(scores + (long)r * ScoreStride, *tile, r);
            }

            if (sight == Sight.Everything) Accumulate(tile, first, count, block, rescales + first, values);
            else AccumulateVisible(tile, first, count, block, rescales + first, values);
        }
    }

    enum Sight
    {
        Everything,
        Part,
        Nothing,
    }

    static Sight Look(AttendTile* tile, int first, int count)
    {
        if (tile->VisibleFrom == null) return Sight.Everything;
        int whole = 0, blind = 0;
        for (int r = first; r < first + count; r++)
        {
            (int from, int to) = TileSoftmax.Visible(*tile, r);
            if (from >= to) blind++;
            else if (to - from == tile->Tokens) whole++;
        }

        return whole == count ? Sight.Everything : blind == count ? Sight.Nothing : Sight.Part;
    }

    /// <summary>Rows of the next block: six, where that does not leave a remainder that costs more than blocks of four do.</summary>
    static int BlockRows(int left) => left is 7 or 8 ? 4 : Math.Min(left, left < 5 ? 4 : 6);

    static int Part(AttendTile* tile, int row) => (int)((long)tile->NextTokens * row / tile->Rows);
}
