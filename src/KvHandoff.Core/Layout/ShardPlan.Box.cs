namespace KvHandoff.Layout;

public sealed partial class ShardPlan
{
    /// <summary>Layers (positions in the group) x kv heads x tokens.</summary>
    private readonly record struct Box(IndexRange Layers, IndexRange Heads, IndexRange Tokens) : IComparable<Box>
    {
        public int CompareTo(Box other) => Key.CompareTo(other.Key);

        internal bool Holds(Box part) => Holds(Layers, part.Layers) && Holds(Heads, part.Heads) && Holds(Tokens, part.Tokens);

        /// <summary>The same rows in fewer boxes: neighbours along tokens become one, then along heads, then along layers.</summary>
        internal static List<Box> Merge(List<Box> boxes)
        {
            boxes = Join(boxes.OrderBy(b => (b.Layers.Start, b.Heads.Start, b.Tokens.Start)), (a, b) =>
                a.Layers == b.Layers && a.Heads == b.Heads && a.Tokens.End == b.Tokens.Start ? a with { Tokens = Both(a.Tokens, b.Tokens) } : null);
            boxes = Join(boxes.OrderBy(b => (b.Layers.Start, b.Tokens.Start, b.Heads.Start)), (a, b) =>
                a.Layers == b.Layers && a.Tokens == b.Tokens && a.Heads.End == b.Heads.Start ? a with { Heads = Both(a.Heads, b.Heads) } : null);
            boxes = Join(boxes.OrderBy(b => (b.Heads.Start, b.Tokens.Start, b.Layers.Start)), (a, b) =>
                a.Heads == b.Heads && a.Tokens == b.Tokens && a.Layers.End == b.Layers.Start ? a with { Layers = Both(a.Layers, b.Layers) } : null);
            boxes.Sort();
            return boxes;
        }

        private (int, int, int, int, int, int) Key => (Layers.Start, Heads.Start, Tokens.Start, Layers.Count, Heads.Count, Tokens.Count);

        private static List<Box> Join(IEnumerable<Box> ordered, Func<Box, Box, Box?> join)
        {
            var joined = new List<Box>();
            foreach (Box box in ordered)
            {
                if (joined.Count > 0 && join(joined[^1], box) is { } both) joined[^1] = both;
                else joined.Add(box);
            }

            return joined;
        }

        private static IndexRange Both(IndexRange a, IndexRange b) => new(a.Start, a.Count + b.Count);

        private static bool Holds(IndexRange whole, IndexRange part) => part.Start >= whole.Start && part.End <= whole.End;
    }
}
