using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>The three steps of a query: its rows are arranged by kv head, parts of the sequence are attended to, parts are joined.</summary>
static unsafe class AttentionPass
{
    /// <summary>Copies the query rows that share a kv head, so that they are neighbours, and lets the kernels prepare them.</summary>
    /// <param name="work">The query.</param>
    /// <param name="kvHead">The kv head.</param>
    /// <param name="query"><c>[query token][query head][key dim]</c>.</param>
    /// <param name="memory">Receives <see cref="AttentionWork.HeadQueryBytes"/>.</param>
    internal static void Arrange(in AttentionWork work, int kvHead, ReadOnlySpan<float> query, byte* memory)
    {
        AttentionPlan plan = work.Plan;
        int dim = plan.KeyDim, groupElements = plan.GroupHeads * dim;
        for (int token = 0; token < plan.QueryTokens; token++)
        {
            query.Slice((token * plan.QueryHeads + kvHead * plan.GroupHeads) * dim, groupElements)
                .CopyTo(new Span<float>((float*)memory + (long)token * groupElements, groupElements));
        }

        if (work.Blocks.PreparedBytes > 0) work.Blocks.Prepare((float*)memory, plan.Rows, dim, memory + work.HeadRowsBytes);
        if (work.Tail.PreparedBytes > 0) work.Tail.Prepare((float*)memory, plan.Rows, dim, memory + work.HeadRowsBytes + work.HeadBlocksPrepared);
    }

    /// <summary>Attends to a range of tokens for the query rows of some kv heads.</summary>
    /// <param name="view">The layer of the sequence.</param>
    /// <param name="work">The query.</param>
    /// <param name="tokens">First token and the one behind the last.</param>
    /// <param name="heads">First kv head and the one behind the last.</param>
    /// <param name="query">What <see cref="Arrange"/> has written for these heads, one behind the other.</param>
    /// <param name="state">Receives the state of each head, <see cref="AttentionWork.HeadStateBytes"/>.</param>
    /// <param name="memory">The worker's own.</param>
    internal static void Attend(in KvLayerView view, in AttentionWork work, (int Start, int End) tokens, (int First, int End) heads, byte* query, byte* state, byte* memory)
    {
        AttentionPlan plan = work.Plan;
        for (int head = 0; head < heads.End - heads.First; head++)
        {
            byte* own = state + head * work.HeadStateBytes;
            new Span<float>(own, plan.Rows).Fill(float.NegativeInfinity);
            NativeMemory.Clear(own + work.HeadStatisticsBytes, (nuint)(work.HeadStatisticsBytes + work.HeadOutputBytes));
        }

        var reader = new TileReader(view, work, memory);
        var walk = new TileWalk(view, tokens.Start, tokens.End, heads.First, heads.End);
        AttendTile tile = default;
        (tile.Rows, tile.KeyDim, tile.ValueDim) = (plan.Rows, plan.KeyDim, plan.ValueDim);
        tile.Cap = plan.Cap;
        tile.Scratch = reader.Scratch;
        TileItem next = walk.Next();
        while (next.Tokens != 0)
        {
            TileItem item = next;
            next = walk.Next();
            reader.Read(walk, item, next, ref tile);
            byte* own = state + (item.Head - heads.First) * work.HeadStateBytes, rows = query + (item.Head - heads.First) * work.HeadQueryBytes;
            tile.Maximum = (float*)own;
            tile.Sum = (float*)(own + work.HeadStatisticsBytes);
            tile.Output = (float*)(own + 2 * work.HeadStatisticsBytes);
            tile.Query = (float*)rows;
            tile.Prepared = rows + work.HeadRowsBytes;
            if (item.InTail && work.HasTail)
            {
                tile.Prepared += work.HeadBlocksPrepared;
                work.Tail.Attend(&tile);
            }
            else
            {
                work.Blocks.Attend(&tile);
            }
        }
    }

    /// <summary>Joins the parts of one kv head in order and normalises.</summary>
    /// <param name="view">The layer of the sequence.</param>
    /// <param name="work">The query.</param>
    /// <param name="kvHead">The kv head.</param>
    /// <param name="sinks">A logit per query head, or empty.</param>
    /// <param name="state">The head's state in the first part.</param>
    /// <param name="parts">Parts.</param>
    /// <param name="partBytes">Distance between the states of parts.</param>
    /// <param name="output"><c>[query token][query head][value dim]</c>.</param>
    /// <param name="logSumExp"><c>[query token][query head]</c>.</param>
    internal static void Join(in KvLayerView view, in AttentionWork work, int kvHead, ReadOnlySpan<float> sinks, byte* state, int parts, long partBytes,
        Span<float> output, Span<float> logSumExp)
    {
        AttentionPlan plan = work.Plan;
        int dim = plan.ValueDim;
        // Unpacked rows have their scale already.
        float valueScale = work.Unpacks ? 1 : view.StaticScale(kvHead, view.Group.Planes == 2 ? KvPlane.Value : KvPlane.Key);
        for (int row = 0; row < plan.Rows; row++)
        {
            (int token, int member) = Math.DivRem(row, plan.GroupHeads);
            int head = kvHead * plan.GroupHeads + member, at = token * plan.QueryHeads + head;
            double sink = sinks.IsEmpty ? double.NegativeInfinity : sinks[head] / Exponential.Ln2;
            logSumExp[at] = JoinRow(work.HeadStatisticsBytes, state, row, parts, partBytes, sink, valueScale, output.Slice(at * dim, dim));
        }
    }

    static float JoinRow(long statisticsBytes, byte* state, int row, int parts, long partBytes, double sink, float valueScale, Span<float> output)
    {
        double largest = sink;
        bool isNaN = false;
        for (int part = 0; part < parts; part++)
        {
            largest = Math.Max(largest, ((float*)(state + part * partBytes))[row]);
            // A maximum does not always take a NaN over, a sum does.
            isNaN |= float.IsNaN(((float*)(state + part * partBytes + statisticsBytes))[row]);
        }

        if (isNaN)
        {
            output.Fill(float.NaN);
            return float.NaN;
        }

        output.Clear();
        // No token is visible, or all logits were minus infinity.
        if (double.IsNegativeInfinity(largest)) return float.NegativeInfinity;
        double total = Math.Pow(2, sink - largest);
        for (int part = 0; part < parts; part++)
            total += ((float*)(state + part * partBytes + statisticsBytes))[row] * Math.Pow(2, ((float*)(state + part * partBytes))[row] - largest);
        for (int part = 0; part < parts; part++)
        {
            byte* own = state + part * partBytes;
            // A part without a visible token has nothing to add.
            if (((float*)(own + statisticsBytes))[row] == 0) continue;
            float weight = (float)(Math.Pow(2, ((float*)own)[row] - largest) / total * valueScale);
            VectorSums.AddScaled(new ReadOnlySpan<float>((float*)(own + 2 * statisticsBytes) + (long)row * output.Length, output.Length), weight, output);
        }

        return (float)((largest + Math.Log2(total)) * Exponential.Ln2);
    }
}
