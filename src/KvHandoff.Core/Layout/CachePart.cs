using System.Collections.Immutable;

namespace KvHandoff.Layout;

/// <summary>
/// Which part of a model's cache a worker's cache is: its layers (pipeline parallel) and kv heads (tensor parallel). Which tokens a worker holds
/// (context parallel) is said sequence by sequence.
/// </summary>
/// <param name="Whole">The whole model's cache, as the worker stores its part.</param>
/// <param name="Shard">The worker's layers and kv heads, in the numbers of the whole; its tokens are not looked at.</param>
public sealed record CachePart(KvCacheLayout Whole, KvShard Shard)
{
    /// <summary>The layout of the worker's own cache: its layers numbered from 0, its heads only; groups without a layer of it are left out.</summary>
    /// <exception cref="KvLayoutException">The shard is no part of the whole.</exception>
    public KvCacheLayout Layout
    {
        get
        {
            if (Check() is { } wrong) throw new KvLayoutException(wrong);
            var groups = ImmutableArray.CreateBuilder<LayerGroup>();
            for (int g = 0; g < Whole.Groups.Length; g++)
            {
                IndexRange heads = Shard.HeadsOf(Whole, g), layers = Shard.Layers;
                ImmutableArray<int> own = [.. Whole.Groups[g].Layers.Where(l => l >= layers.Start && l < layers.End).Select(l => l - layers.Start)];
                if (own.Length > 0) groups.Add(Whole.Groups[g] with { Layers = own, KvHeads = heads.Count });
            }

            return new KvCacheLayout(Whole.Model, groups.ToImmutable());
        }
    }

    /// <summary>The part that a cache of its own is: all of it.</summary>
    public static CachePart All(KvCacheLayout layout) => new(layout, KvShard.Whole(layout, 1));

    /// <summary>Whether it is all of the model's layers and heads.</summary>
    public bool IsAll => Shard with { Tokens = default } == KvShard.Whole(Whole, 1) with { Tokens = default };

    /// <summary>Index among the groups of <see cref="Layout"/> of each group of the whole; -1 where none of its layers are held.</summary>
    public ImmutableArray<int> OwnGroups()
    {
        var own = ImmutableArray.CreateBuilder<int>(Whole.Groups.Length);
        int next = 0;
        foreach (LayerGroup group in Whole.Groups) own.Add(group.Layers.Any(l => l >= Shard.Layers.Start && l < Shard.Layers.End) ? next++ : -1);
        return own.MoveToImmutable();
    }

    /// <summary>Null when the shard is a part of the whole, else what is wrong.</summary>
    public string? Check() => (Shard with { Tokens = new IndexRange(0, 1) }).Check(Whole, 1) is { } wrong ? $"The worker's part is out of range: {wrong}." : null;
}
