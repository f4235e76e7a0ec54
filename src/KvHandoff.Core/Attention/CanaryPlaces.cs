using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>Where the model's layers, kv heads and tokens lie in a cache that holds a shard of them.</summary>
internal sealed class CanaryPlaces
{
    private readonly KvShard _shard;

    /// <exception cref="ArgumentException">The cache does not hold what the shard says.</exception>
    internal CanaryPlaces(KvCacheLayout model, KvShard? shard, KvCacheLayout cache)
    {
        Model = model;
        _shard = shard ?? KvShard.Whole(model, int.MaxValue);
        if (_shard.Layers.Start < 0 || _shard.Layers.Count != cache.LayerCount || _shard.Layers.Start > model.LayerCount - cache.LayerCount)
            throw new ArgumentException($"The shard holds layers {_shard.Layers} of {model.LayerCount}; the cache has {cache.LayerCount}.", nameof(shard));
        for (int layer = 0; layer < cache.LayerCount; layer++)
        {
            LayerGroup local = cache.Group(layer), whole = model.Group(layer + FirstLayer);
            int heads = Heads(layer + FirstLayer).Count;
            if (local.KvHeads != heads || local.HeadDim != whole.HeadDim || local.Kind != whole.Kind)
                throw new ArgumentException($"Layer {layer} of the cache is {local.Kind} with {local.KvHeads} kv heads of {local.HeadDim}; the shard's is {whole.Kind} with {heads} of {whole.HeadDim}.", nameof(shard));
        }
    }

    internal KvCacheLayout Model { get; }

    internal int FirstLayer => _shard.Layers.Start;

    internal int FirstToken => _shard.Tokens.Start;

    internal int KvHeads(int layer) => Heads(layer).Count;

    internal bool Holds(CanarySet set, CanaryPair pair)
    {
        if (pair.Layer < _shard.Layers.Start || pair.Layer >= _shard.Layers.End) return false;
        IndexRange heads = Heads(pair.Layer);
        int head = set.KvHead(Model.Group(pair.Layer), pair);
        return head >= heads.Start && head < heads.End;
    }

    internal int LocalHead(CanarySet set, CanaryPair pair) => set.KvHead(Model.Group(pair.Layer), pair) - Heads(pair.Layer).Start;

    internal IndexRange Heads(int layer) => _shard.HeadsOf(Model, Model.GroupOf(layer));
}
