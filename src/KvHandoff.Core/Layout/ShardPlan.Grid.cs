namespace KvHandoff.Layout;

public sealed partial class ShardPlan
{
    /// <summary>
    /// One layer group, cut at every boundary of every shard: within a cell of the grid the same sources and targets hold everything.
    /// </summary>
    private sealed class Grid
    {
        // 32 x 32 x 64 boundaries; parallel workers cut a grid of a few hundred. More comes only of shards that follow no scheme.
        private const long MaxCells = 65_536;

        private readonly KvCacheLayout _layout;
        private readonly int _group;
        private readonly Box[] _sources, _targets;
        private readonly int[] _sourceOrder;

        internal Grid(KvCacheLayout layout, int group, ReadOnlySpan<KvShard> sources, int[] sourceOrder, ReadOnlySpan<KvShard> targets)
        {
            _layout = layout;
            _group = group;
            _sources = Boxes(sources);
            _targets = Boxes(targets);
            _sourceOrder = sourceOrder;
        }

        /// <summary>Adds the group's pieces, or returns what no source holds.</summary>
        internal string? Assign(Dictionary<(int Source, int Target), List<ShardPiece>> pieces)
        {
            int[] layers = Cuts(b => b.Layers), heads = Cuts(b => b.Heads), tokens = Cuts(b => b.Tokens);
            long cells = (long)Math.Max(0, layers.Length - 1) * Math.Max(0, heads.Length - 1) * Math.Max(0, tokens.Length - 1);
            if (cells > MaxCells) return $"The shards cut group {_group} into {cells} parts; allowed: {MaxCells}.";
            var boxes = new SortedDictionary<(int Source, int Target), List<Box>>();
            var wanting = new List<int>();
            var holding = new List<int>();
            for (int l = 0; l + 1 < layers.Length; l++)
            {
                for (int h = 0; h + 1 < heads.Length; h++)
                {
                    for (int t = 0; t + 1 < tokens.Length; t++)
                    {
                        var cell = new Box(Between(layers, l), Between(heads, h), Between(tokens, t));
                        Find(_targets, null, cell, wanting);
                        if (wanting.Count == 0) continue;
                        Find(_sources, _sourceOrder, cell, holding);
                        if (holding.Count == 0) return $"No source holds {Piece(cell)}, which target {wanting[0]} holds.";
                        for (int k = 0; k < wanting.Count; k++) Divide(cell, holding, wanting[k], k, wanting.Count, boxes);
                    }
                }
            }

            foreach (((int Source, int Target) pair, List<Box> of) in boxes)
            {
                if (!pieces.TryGetValue(pair, out List<ShardPiece>? list)) pieces[pair] = list = [];
                list.AddRange(Box.Merge(of).Select(Piece));
            }

            return null;
        }

        private static void Divide(Box cell, List<int> holding, int target, int k, int targets, SortedDictionary<(int Source, int Target), List<Box>> boxes)
        {
            int first = (int)((long)k * holding.Count / targets), end = (int)((k + 1L) * holding.Count / targets);
            int share = Math.Min(Math.Max(1, end - first), cell.Layers.Count);
            for (int i = 0; i < share; i++)
            {
                int from = i * cell.Layers.Count / share, to = (i + 1) * cell.Layers.Count / share;
                (int, int) pair = (holding[first + i], target);
                if (!boxes.TryGetValue(pair, out List<Box>? list)) boxes[pair] = list = [];
                list.Add(cell with { Layers = new IndexRange(cell.Layers.Start + from, to - from) });
            }
        }

        private static void Find(Box[] shards, int[]? order, Box cell, List<int> found)
        {
            found.Clear();
            for (int i = 0; i < shards.Length; i++)
            {
                int shard = order is null ? i : order[i];
                if (shards[shard].Holds(cell)) found.Add(shard);
            }
        }

        // Layers as positions in the group, which has neither gaps nor other groups' layers between them.
        private Box[] Boxes(ReadOnlySpan<KvShard> shards)
        {
            var boxes = new Box[shards.Length];
            for (int i = 0; i < shards.Length; i++)
            {
                int first = Position(shards[i].Layers.Start), end = Position(shards[i].Layers.End);
                boxes[i] = new Box(new IndexRange(first, end - first), shards[i].HeadsOf(_layout, _group), shards[i].Tokens);
            }

            return boxes;
        }

        private int Position(int layer)
        {
            int at = _layout.Groups[_group].Layers.AsSpan().BinarySearch(layer);
            return at < 0 ? ~at : at;
        }

        private int[] Cuts(Func<Box, IndexRange> axis) =>
            [.. _sources.Concat(_targets).Where(b => b.Layers.Count > 0).Select(axis).SelectMany(r => (int[])[r.Start, r.End]).Distinct().Order()];

        private static IndexRange Between(int[] cuts, int index) => new(cuts[index], cuts[index + 1] - cuts[index]);

        private ShardPiece Piece(Box box)
        {
            ReadOnlySpan<int> layers = _layout.Groups[_group].Layers.AsSpan(box.Layers.Start, box.Layers.Count);
            return new ShardPiece(_group, new IndexRange(layers[0], layers[^1] + 1 - layers[0]), box.Heads, box.Tokens);
        }
    }
}
