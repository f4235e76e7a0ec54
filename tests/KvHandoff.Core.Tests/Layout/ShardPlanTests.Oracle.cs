using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

// The plan row by row.
public sealed partial class ShardPlanTests
{
    /// <summary>Row by row, without ranges: which (group, layer, head, granule) a shard holds and how often a plan sends it.</summary>
    private static class Oracle
    {
        internal static void Check(ShardPlan plan)
        {
            for (int j = 0; j < plan.Targets.Length; j++)
            {
                var sent = new Dictionary<(int, int, int, int), int>();
                long bytes = 0;
                for (int i = 0; i < plan.Sources.Length; i++)
                {
                    HashSet<(int, int, int, int)> held = [.. Cells(plan.Layout, plan.Tokens, plan.Sources[i])];
                    foreach (ShardPiece piece in plan.Pieces(i, j))
                    {
                        Assert.True(piece.Tokens.Start % 64 == 0 && (piece.Tokens.End % 64 == 0 || piece.Tokens.End == plan.Tokens));
                        foreach (int layer in piece.LayersIn(plan.Layout))
                        {
                            for (int head = piece.KvHeads.Start; head < piece.KvHeads.End; head++)
                            {
                                for (int granule = piece.Tokens.Start / 64; granule * 64 < piece.Tokens.End; granule++)
                                {
                                    (int, int, int, int) cell = (piece.Group, layer, head, granule);
                                    if (!held.Contains(cell)) Assert.Fail($"Source {i} does not hold {cell} of {piece}.");
                                    sent[cell] = sent.GetValueOrDefault(cell) + 1;
                                    LayerGroup group = plan.Layout.Groups[piece.Group];
                                    bytes += (long)group.Planes * group.RowBytes * Math.Min(64, plan.Tokens - granule * 64);
                                }
                            }
                        }
                    }
                }

                HashSet<(int, int, int, int)> wanted = [.. Cells(plan.Layout, plan.Tokens, plan.Targets[j])];
                Assert.True(wanted.SetEquals(sent.Keys), $"Target {j} holds {wanted.Count} cells and is sent {sent.Count}.");
                Assert.All(sent.Values, times => Assert.Equal(1, times));
                Assert.Equal(bytes, plan.BytesTo(j));
            }
        }

        internal static string? Gap(KvCacheLayout layout, int tokens, IEnumerable<KvShard> sources, IEnumerable<KvShard> targets)
        {
            HashSet<(int, int, int, int)> held = [.. sources.SelectMany(s => Cells(layout, tokens, s))];
            foreach ((int, int, int, int) cell in targets.SelectMany(t => Cells(layout, tokens, t)))
            {
                if (!held.Contains(cell)) return cell.ToString();
            }

            return null;
        }

        private static IEnumerable<(int Group, int Layer, int Head, int Granule)> Cells(KvCacheLayout layout, int tokens, KvShard shard)
        {
            int widest = layout.Groups.Max(g => g.KvHeads);
            for (int layer = shard.Layers.Start; layer < shard.Layers.End; layer++)
            {
                int g = layout.GroupOf(layer);
                int heads = layout.Groups[g].KvHeads;
                for (int head = 0; head < heads; head++)
                {
                    // Head h of n covers [h / n, (h + 1) / n) of the widest group's.
                    bool holds = layout.Groups[g].Kind == AttentionKind.Latent
                        || (shard.GroupHeads.IsDefault
                            ? (head + 1) * widest > shard.KvHeads.Start * heads && head * widest < shard.KvHeads.End * heads
                            : head >= shard.GroupHeads[g].Start && head < shard.GroupHeads[g].End);
                    for (int granule = 0; holds && granule * 64 < tokens; granule++)
                    {
                        if (granule * 64 >= shard.Tokens.Start && granule * 64 < shard.Tokens.End) yield return (g, layer, head, granule);
                    }
                }
            }
        }
    }
}
