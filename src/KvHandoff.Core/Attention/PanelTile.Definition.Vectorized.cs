namespace KvHandoff.Attention;

static unsafe partial class PanelTile
{
    /// <summary>The definition, on the memory of a step.</summary>
    internal static void Attend<TElement>(AttendTile* tile)
        where TElement : IKvElement
    {
        int keyDim = tile->KeyDim, valueDim = tile->ValueDim, tokens = tile->Tokens;
        float* rescales = (float*)tile->Scratch, scores = rescales + tile->Rows;
        var wide = new Span<float>(scores + (long)tile->Rows * AttendTile.MostTokens, Math.Max(keyDim, valueDim));
        for (int t = 0; t < tokens; t++)
        {
            var row = new ReadOnlySpan<byte>(tile->Keys + t * tile->KeyStrideBytes, keyDim * TElement.SizeBytes);
            Widen<TElement>(row, Scales(tile->KeyChannelScales, keyDim), wide[..keyDim]);
            for (int r = 0; r < tile->Rows; r++)
                scores[r * AttendTile.MostTokens + t] = Dot(new ReadOnlySpan<float>(tile->Query + (long)r * keyDim, keyDim), wide);
        }

        for (int r = 0; r < tile->Rows; r++)
        {
            rescales[r] = TileSoftmax.Weights(scores + (long)r * AttendTile.MostTokens, *tile, r);
            TileSoftmax.ScaleByToken(scores + (long)r * AttendTile.MostTokens, *tile, r);
            (int from, int to) = TileSoftmax.Visible(*tile, r);
            if (from < to) Scale(Output(tile, r), rescales[r]);
        }

        for (int t = 0; t < tokens; t++)
        {
            var row = new ReadOnlySpan<byte>(tile->Values + t * tile->ValueStrideBytes, valueDim * TElement.SizeBytes);
            Widen<TElement>(row, Scales(tile->ValueChannelScales, valueDim), wide[..valueDim]);
            for (int r = 0; r < tile->Rows; r++)
            {
                (int from, int to) = TileSoftmax.Visible(*tile, r);
                if (from <= t && t < to) AddScaled(Output(tile, r), wide, scores[r * AttendTile.MostTokens + t]);
            }
        }
    }

    static Span<float> Output(AttendTile* tile, int row) => new(tile->Output + (long)row * tile->ValueDim, tile->ValueDim);

    static ReadOnlySpan<float> Scales(float* scales, int count) => scales == null ? [] : new ReadOnlySpan<float>(scales, count);
}
