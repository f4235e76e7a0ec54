using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

public static partial class PagedDecodeAttention
{
    /// <summary>
    /// The definition in vectors. Logits are kept in units of ln 2, so that weights are powers of two. Blocks are the outer
    /// loop, kv heads the inner: a block is read in one run, and while one (block, head) item is worked on, the next is fetched.
    /// </summary>
    static unsafe void Vectorized<TElement, TWidth, TMath, TVector>(
        in KvLayerView view, in DecodePlan plan, ReadOnlySpan<float> query, Span<float> output, Span<float> logSumExp)
        where TElement : IKvElement
        where TWidth : ISimdWidth<TVector>
        where TMath : ISingleMath<TVector>
        where TVector : struct
    {
        int dim = plan.HeadDim, group = plan.GroupHeads;
        bool widen = plan.Unpacks || (TElement.WidensIntoScratch && group > DecodeTiles<TWidth, TMath, TVector>.TileHeads);
        int itemTokens = widen && !plan.Unpacks ? DecodePlan.ItemTokens / 2 : DecodePlan.ItemTokens;

        // Multiples of 16 elements keep every part on a cache line.
        int heads = (plan.QueryHeads + 15) & ~15, scoreElements = group * DecodePlan.ItemTokens;
        int wideElements = widen ? itemTokens * dim : 0, wideStride = dim * sizeof(float);
        Span<float> workspace = DecodeWorkspace.Rent(3 * heads + scoreElements + ((wideElements + 15) & ~15) + query.Length);
        fixed (float* start = workspace, result = output)
        {
            float* maximum = start, sum = maximum + heads, scale = sum + heads, scores = scale + heads;
            float* wide = scores + scoreElements, scaledQuery = wide + ((wideElements + 15) & ~15);
            float logitScale = plan.Scale * Exponential.Log2E;
            for (int i = 0; i < query.Length; i++) scaledQuery[i] = query[i] * logitScale;
            for (int h = 0; h < plan.QueryHeads; h++) (maximum[h], sum[h]) = (float.NegativeInfinity, 0);

            var walk = new DecodeItemWalk(view, plan, itemTokens);
            DecodeItem next = walk.Next();
            while (next.Tokens != 0)
            {
                DecodeItem item = next;
                next = walk.Next();
                int queryHead = item.Head * group;
                float* itemQuery = scaledQuery + (long)queryHead * dim, itemResult = result + (long)queryHead * dim;
                var wideRows = new KvRows((byte*)wide, wideStride, wideStride, item.Tokens);
                if (widen)
                {
                    WidenRows<TElement>(view, plan, item, KvPlane.Key, wide);
                    DecodeTiles<TWidth, TMath, TVector>.Score<Float32Element>(itemQuery, group, dim, wideRows, next.Keys, scores);
                }
                else
                {
                    DecodeTiles<TWidth, TMath, TVector>.Score<TElement>(itemQuery, group, dim, item.Keys, next.Keys, scores);
                }

                for (int g = 0; g < group; g++)
                {
                    scale[g] = DecodeTiles<TWidth, TMath, TVector>.Weights(
                        scores + g * DecodePlan.ItemTokens, item.Tokens, ref maximum[queryHead + g], ref sum[queryHead + g]);
                }

                if (widen)
                {
                    WidenRows<TElement>(view, plan, item, KvPlane.Value, wide);
                    DecodeTiles<TWidth, TMath, TVector>.Accumulate<Float32Element>(scores, scale, group, dim, wideRows, next.Values, itemResult);
                }
                else
                {
                    DecodeTiles<TWidth, TMath, TVector>.Accumulate<TElement>(scores, scale, group, dim, item.Values, next.Values, itemResult);
                }
            }

            for (int h = 0; h < plan.QueryHeads; h++) logSumExp[h] = Finish(output.Slice(h * dim, dim), maximum[h], sum[h]);
        }
    }

    static unsafe void WidenRows<TElement>(in KvLayerView view, in DecodePlan plan, in DecodeItem item, KvPlane plane, float* wide)
        where TElement : IKvElement
    {
        if (plan.Unpacks)
        {
            UnpackRows(view, item.Head, plane, item.FirstToken, new Span<float>(wide, item.Tokens * plan.HeadDim));
            return;
        }

        KvRows rows = plane == KvPlane.Key ? item.Keys : item.Values;
        int dim = rows.RowBytes / TElement.SizeBytes;
        for (int t = 0; t < rows.Tokens; t++)
            TElement.Widen(new ReadOnlySpan<byte>(rows.First + (long)t * rows.StrideBytes, rows.RowBytes), new Span<float>(wide + (long)t * dim, dim));
    }

    static float Finish(Span<float> output, float maximum, float sum)
    {
        // Every weight was zero: all logits were minus infinity.
        if (sum == 0)
        {
            output.Clear();
            return float.NegativeInfinity;
        }

        foreach (ref float element in output) element /= sum;
        return (float)((maximum + Math.Log2(sum)) * Exponential.Ln2);
    }
}
