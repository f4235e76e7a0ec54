using System.Runtime.InteropServices;

namespace KvHandoff.Attention;

/// <summary>
/// A step of attention over INT8 keys and values in integer products. The query, with the channel scales of the keys folded in, is
/// quantised to 16 bits against the largest element of its row; the weights, with the scales of the values folded in, to 15 bits
/// against the largest of their row in the tile. The sum of the softmax is that of the unrounded weights.
/// </summary>
static unsafe partial class IntegerTile
{
    /// <summary>Most elements of a key: 512 * 128 * 32767 is below 2^31.</summary>
    internal const int MostKeyDim = 512;

    /// <summary>Whether a kernel of that width can take these rows here; 0 bits stands for the definition.</summary>
    internal static bool Fits(int vectorBits, int keyDim, int valueDim)
    {
        bool isSupported = vectorBits switch
        {
            512 => IntegerTileWidth512.IsSupported,
            256 => IntegerTileWidth256.IsSupported,
            128 => IntegerTileWidth128.IsSupported,
            _ => vectorBits == 0,
        };
        int elements = Math.Max(1, vectorBits / 16);
        return isSupported && keyDim > 0 && valueDim > 0 && keyDim <= MostKeyDim && keyDim % elements == 0 && valueDim % elements == 0;
    }

    /// <summary>Bytes of a prepared query: a step size for each row, rounded up to a cache line, and then the codes of whole fours of rows.</summary>
    internal static int PreparedBytes(int rows, int keyDim) => checked(StepBytes(rows) + ((rows + 3) & ~3) * keyDim * sizeof(short));

    /// <summary>Quantises a query for tiles whose keys have no channel scales.</summary>
    internal static void Prepare(float* query, int rows, int keyDim, byte* prepared) => Quantise(query, null, rows, keyDim, prepared);

    /// <summary>The definition, on the memory of a step.</summary>
    internal static void Attend(AttendTile* tile)
    {
        int keyDim = tile->KeyDim, valueDim = tile->ValueDim, tokens = tile->Tokens;
        float* scores = stackalloc float[AttendTile.MostTokens];
        short* codes = stackalloc short[AttendTile.MostTokens];
        byte* prepared = tile->Prepared;
        if (prepared == null || tile->KeyChannelScales != null)
        {
            prepared = tile->Scratch;
            Quantise(tile->Query, tile->KeyChannelScales, tile->Rows, keyDim, prepared);
        }

        for (int r = 0; r < tile->Rows; r++)
        {
            (int from, int to) = TileSoftmax.Visible(*tile, r);
            if (from >= to) continue;
            float step = ((float*)prepared)[r];
            short* query = (short*)(prepared + StepBytes(tile->Rows)) + (long)r * keyDim;
            for (int t = 0; t < tokens; t++)
                scores[t] = step * Dot(new ReadOnlySpan<short>(query, keyDim), new ReadOnlySpan<sbyte>(tile->Keys + t * tile->KeyStrideBytes, keyDim));
            float rescale = TileSoftmax.Weights(scores, *tile, r);
            TileSoftmax.ScaleByToken(scores, *tile, r);
            float unit = Quantise(new ReadOnlySpan<float>(scores, tokens), [], new Span<short>(codes, tokens));
            for (int d = 0; d < valueDim; d++)
            {
                int sum = 0;
                for (int t = 0; t < tokens; t++) sum += codes[t] * ((sbyte*)tile->Values)[t * tile->ValueStrideBytes + d];
                float part = sum * unit;
                if (tile->ValueChannelScales != null) part *= tile->ValueChannelScales[d];
                float* at = tile->Output + (long)r * valueDim + d;
                *at = *at * rescale + part;
            }
        }
    }

    internal static int StepBytes(int rows) => (rows * sizeof(float) + 63) & ~63;

    static void Quantise(float* query, float* channelScales, int rows, int keyDim, byte* prepared)
    {
        ReadOnlySpan<float> scales = channelScales == null ? [] : new ReadOnlySpan<float>(channelScales, keyDim);
        for (int r = 0; r < rows; r++)
        {
            var codes = new Span<short>(prepared + StepBytes(rows) + (long)r * keyDim * sizeof(short), keyDim);
            ((float*)prepared)[r] = Quantise(new ReadOnlySpan<float>(query + (long)r * keyDim, keyDim), scales, codes);
        }
    }
}
