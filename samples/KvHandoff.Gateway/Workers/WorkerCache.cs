using System.Collections.Concurrent;
using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// A worker's cache and what it remembers of earlier prompts. Only rows that were prefilled are remembered: those of generated tokens are
/// rounded otherwise than a prefill of the same tokens, and a text must not depend on what lay in a cache.
/// </summary>
/// <remarks>Thread-safe; each sequence is used by one thread at a time.</remarks>
internal sealed class WorkerCache : IDisposable
{
    private readonly LlamaModel _model;
    private readonly ConcurrentDictionary<KvSequence, byte> _live = new(ReferenceEqualityComparer.Instance);

    /// <param name="model">The model whose rows it holds.</param>
    /// <param name="tokens">Tokens that it holds.</param>
    /// <param name="shared">In memory that senders on this host can map.</param>
    public WorkerCache(LlamaModel model, long tokens, bool shared)
    {
        _model = model;
        KvCacheLayout layout = model.CreateLayout();
        int block = layout.Groups[0].BlockTokens;
        CacheTokens = (tokens + block - 1) / block * block;
        Cache = shared
            ? PagedKvCache.Over(layout, SharedSlab.Create("kvhandoff-worker", PagedKvCache.RequiredBytes(layout, CacheTokens)), CacheTokens, owned: true)
            : PagedKvCache.Allocate(layout, CacheTokens);
        Prefixes = new PrefixIndex(Cache);
        BytesPerToken = PagedKvCache.RequiredBytes(layout, block) / block;
    }

    public PagedKvCache Cache { get; }

    /// <summary>Prompts whose blocks are kept.</summary>
    public PrefixIndex Prefixes { get; }

    /// <summary>Tokens that fit.</summary>
    public long CacheTokens { get; }

    public long BytesPerToken { get; }

    /// <summary>Tokens that there is room for once all that is only kept for reuse is forgotten; never more than there are.</summary>
    public long FreeTokens
    {
        get
        {
            // Blocks of the index that live sequences share are not free; two that share the same count twice, which errs on the safe side.
            long kept = (long)Prefixes.Units * Prefixes.UnitTokens - _live.Keys.Sum(s => (long)s.SharedTokens);
            return Math.Min(CacheTokens, Cache.FreeTokens + Math.Max(0, kept));
        }
    }

    /// <summary>A new sequence that begins with what is known of a prompt.</summary>
    /// <param name="hashes">Of the prompt's whole granules.</param>
    /// <param name="promptTokens">Tokens of the prompt; the last one is never taken from the cache, for its logits are needed.</param>
    public KvSequence Begin(ImmutableArray<PrefixHash> hashes, int promptTokens)
    {
        KvSequence sequence = Cache.CreateSequence();
        PrefixMatch match = Prefixes.Lookup(hashes.AsSpan()).AtMost(promptTokens - 1);
        if (match.Tokens > 0) sequence.TryShareFrom(match);
        _live.TryAdd(sequence, 0);
        return sequence;
    }

    /// <summary>Counts a sequence that landed among the live ones.</summary>
    public void Adopt(KvSequence sequence) => _live.TryAdd(sequence, 0);

    /// <summary>Gives a sequence's blocks back; those that are remembered stay.</summary>
    public void End(KvSequence sequence)
    {
        _live.TryRemove(sequence, out _);
        sequence.Dispose();
    }

    /// <summary>Room for so many tokens in all; forgets earlier prompts where that helps.</summary>
    public bool TryReserve(KvSequence sequence, int tokens) =>
        sequence.TryReserve(tokens) || (Prefixes.EvictForTokens(Math.Max(0, tokens - sequence.Capacity)) && sequence.TryReserve(tokens));

    /// <summary>Remembers the prefilled rows of a sequence.</summary>
    public void Remember(KvSequence sequence, ImmutableArray<PrefixHash> hashes) => Prefixes.Add(sequence, hashes.AsSpan());

    /// <summary>Hashes of a prompt's whole granules.</summary>
    public ImmutableArray<PrefixHash> HashesOf(ReadOnlySpan<int> prompt) => PrefixHash.Chain(_model.Identity, prompt);

    /// <summary>The same as an offer carries them.</summary>
    public static byte[] Encode(ImmutableArray<PrefixHash> hashes)
    {
        var bytes = new byte[hashes.Length * PrefixHash.Bytes];
        for (int i = 0; i < hashes.Length; i++) hashes[i].Write(bytes.AsSpan(i * PrefixHash.Bytes));
        return bytes;
    }

    public void Dispose()
    {
        foreach (KvSequence sequence in _live.Keys) End(sequence);
        Prefixes.Dispose();
        Cache.Dispose();
    }
}
