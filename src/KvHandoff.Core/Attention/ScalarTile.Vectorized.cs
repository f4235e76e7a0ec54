namespace KvHandoff.Attention;

/// <summary><see cref="ScalarTile"/> over rows as they are stored.</summary>
static unsafe class ScalarTile<TElement>
    where TElement : IKvElement
{
    internal static void Attend(AttendTile* tile)
    {
        int tokens = tile->Tokens, keyDim = tile->KeyDim, valueDim = tile->ValueDim;
        float* keys = (float*)tile->Scratch, values = keys + (long)tokens * keyDim;
        Widen(tile->Keys, tile->KeyStrideBytes, tokens, keyDim, tile->KeyChannelScales, keys);
        Widen(tile->Values, tile->ValueStrideBytes, tokens, valueDim, tile->ValueChannelScales, values);
        Span<float> logits = stackalloc float[AttendTile.MostTokens];
        for (int row = 0; row < tile->Rows; row++)
        {
            int from = tile->VisibleFrom is null ? 0 : tile->VisibleFrom[row], to = tile->VisibleTo is null ? tokens : tile->VisibleTo[row];
            if (from >= to) continue;
            Span<float> visible = logits[..(to - from)];
            ScalarTile.Logits(new(tile->Query + (long)row * keyDim, keyDim), new(keys + (long)from * keyDim, visible.Length * keyDim),
                Scales(tile->KeyScales, from, to), tile->LogitFactor, tile->Cap, visible);
            float scale = ScalarTile.Weights(visible, ref tile->Maximum[row], ref tile->Sum[row]);
            ScalarTile.Accumulate(visible, Scales(tile->ValueScales, from, to), new(values + (long)from * valueDim, visible.Length * valueDim), scale,
                new(tile->Output + (long)row * valueDim, valueDim));
        }
    }

    static ReadOnlySpan<float> Scales(float* scales, int from, int to) => scales is null ? default : new(scales + from, to - from);

    static void Widen(byte* rows, long strideBytes, int tokens, int dim, float* channelScales, float* wide)
    {
        for (int t = 0; t < tokens; t++, wide += dim)
        {
            TElement.Widen(new ReadOnlySpan<byte>(rows + t * strideBytes, dim * TElement.SizeBytes), new Span<float>(wide, dim));
            for (int d = 0; channelScales is not null && d < dim; d++) wide[d] *= channelScales[d];
        }
    }
}
