using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

public static partial class PagedDecodeAttention
{
    /// <summary>The definition: softmax block by block over all kv heads, with a running maximum and sum per query head.</summary>
    static void Scalar<TElement>(in KvLayerView view, in DecodePlan plan, ReadOnlySpan<float> query, Span<float> output, Span<float> logSumExp)
        where TElement : IKvElement
    {
        BlockGeometry geometry = view.Geometry;
        int dim = plan.HeadDim;
        Span<float> workspace = DecodeWorkspace.Rent(2 * plan.QueryHeads + dim + plan.GroupHeads * DecodePlan.ItemTokens);
        Span<float> maximum = workspace[..plan.QueryHeads];
        Span<float> sum = workspace.Slice(plan.QueryHeads, plan.QueryHeads);
        Span<float> row = workspace.Slice(2 * plan.QueryHeads, dim);
        Span<float> scores = workspace[(2 * plan.QueryHeads + dim)..];
        maximum.Fill(float.NegativeInfinity);
        sum.Clear();

        for (int block = plan.StartToken / geometry.BlockTokens; block * geometry.BlockTokens < plan.EndToken; block++)
        {
            int blockToken = block * geometry.BlockTokens;
            (int first, int end) = plan.WithinBlock(block, geometry.BlockTokens);
            for (int head = 0; head < plan.KvHeads; head++)
            {
                int queryHead = head * plan.GroupHeads;
                for (int from = first; from < end; from += DecodePlan.ItemTokens)
                {
                    int tokens = Math.Min(DecodePlan.ItemTokens, end - from);
                    for (int t = 0; t < tokens; t++)
                    {
                        ReadRow<TElement>(view, plan, head, KvPlane.Key, blockToken + from + t, row);
                        for (int g = 0; g < plan.GroupHeads; g++)
                            scores[g * DecodePlan.ItemTokens + t] = plan.Scale * Dot(query.Slice((queryHead + g) * dim, dim), row);
                    }

                    for (int g = 0; g < plan.GroupHeads; g++)
                    {
                        float scale = Exponentiate(scores.Slice(g * DecodePlan.ItemTokens, tokens), ref maximum[queryHead + g], ref sum[queryHead + g]);
                        foreach (ref float element in output.Slice((queryHead + g) * dim, dim)) element *= scale;
                    }

                    for (int t = 0; t < tokens; t++)
                    {
                        ReadRow<TElement>(view, plan, head, KvPlane.Value, blockToken + from + t, row);
                        for (int g = 0; g < plan.GroupHeads; g++)
                            AddScaled(output.Slice((queryHead + g) * dim, dim), row, scores[g * DecodePlan.ItemTokens + t]);
                    }
                }
            }
        }

        for (int h = 0; h < plan.QueryHeads; h++)
        {
            // Every weight was zero: all logits were minus infinity.
            if (sum[h] == 0)
            {
                output.Slice(h * dim, dim).Clear();
                logSumExp[h] = float.NegativeInfinity;
                continue;
            }

            foreach (ref float element in output.Slice(h * dim, dim)) element /= sum[h];
            logSumExp[h] = maximum[h] + MathF.Log(sum[h]);
        }
    }

    static void ReadRow<TElement>(in KvLayerView view, in DecodePlan plan, int head, KvPlane plane, int token, Span<float> row)
        where TElement : IKvElement
    {
        if (plan.Unpacks) UnpackRows(view, head, plane, token, row);
        else TElement.Widen(view.Row(head, plane, token), row);
    }

    /// <summary>Reads rows that are packed, in the tail, or scattered over their block, as fp32.</summary>
    static void UnpackRows(in KvLayerView view, int head, KvPlane plane, int firstToken, Span<float> rows) =>
        StoredRows.Unpack(view, head, plane, firstToken, new RowRuns(MemoryMarshal.AsBytes(rows), view.Group.HeadDim * sizeof(float)), ElementType.Float32);

    /// <summary>Turns logits into weights relative to the running maximum.</summary>
    /// <returns>The factor for what was summed before, relative to the old maximum.</returns>
    static float Exponentiate(Span<float> scores, ref float maximum, ref float sum)
    {
        float old = maximum;
        foreach (float score in scores) maximum = MathF.Max(maximum, score);
        // Only minus infinity so far: any finite reference makes all weights zero.
        float reference = float.IsNegativeInfinity(maximum) ? 0 : maximum;
        float scale = MathF.Exp(old - reference);
        sum *= scale;
        foreach (ref float score in scores)
        {
            score = MathF.Exp(score - reference);
            sum += score;
        }

        return scale;
    }

    static float Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        float sum = 0;
        for (int d = 0; d < left.Length; d++) sum += left[d] * right[d];
        return sum;
    }

    static void AddScaled(Span<float> destination, ReadOnlySpan<float> row, float factor)
    {
        for (int d = 0; d < destination.Length; d++) destination[d] += row[d] * factor;
    }
}
