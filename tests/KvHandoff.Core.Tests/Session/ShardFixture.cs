using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>N workers that hold parts of one sequence, and M workers that are to hold other parts of it, each with a cache and a process's worth of session.</summary>
internal sealed class ShardFixture : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> _sessions = [];
    private readonly List<PagedKvCache> _caches = [];

    internal required KvCacheLayout SourceLayout { get; init; }

    internal required KvCacheLayout TargetLayout { get; init; }

    internal required int Tokens { get; init; }

    internal required ImmutableArray<KvShard> Sources { get; init; }

    internal required ImmutableArray<KvShard> Targets { get; init; }

    internal required PagedKvCache WholeCache { get; init; }

    internal required KvSequence Whole { get; init; }

    internal List<PagedKvCache> TargetCaches { get; } = [];

    internal List<KvReceiver> Receivers { get; } = [];

    internal List<KvSequence> SourceSequences { get; } = [];

    /// <summary>Sender of source s to target t; null where nothing goes from one to the other.</summary>
    internal Dictionary<(int Source, int Target), KvSender> Senders { get; } = [];

    internal static async Task<ShardFixture> StartAsync(KvCacheLayout source, KvCacheLayout target, int tokens, ImmutableArray<KvShard> sources, ImmutableArray<KvShard> targets, CodecId codec = CodecId.Raw, TimeSpan resume = default, bool inProcess = false)
    {
        PagedKvCache whole = PagedKvCache.Allocate(source, tokens);
        var fixture = new ShardFixture
        {
            SourceLayout = source,
            TargetLayout = target,
            Tokens = tokens,
            Sources = sources,
            Targets = targets,
            WholeCache = whole,
            Whole = SessionFixture.Fill(whole, tokens, seed: 3),
        };
        for (int t = 0; t < targets.Length; t++)
        {
            var part = new CachePart(target, targets[t]);
            PagedKvCache cache = PagedKvCache.Allocate(part.Layout, targets[t].Tokens.Count + 64);
            foreach (KvBlockPool pool in cache.Pools) pool.Fill(0xA5);
            fixture.TargetCaches.Add(cache);
            fixture._caches.Add(cache);
            var options = new KvReceiverOptions { Name = $"decode-{t}", Part = part, GroupCoordinator = t == 0 ? null : fixture.Receivers[0].Endpoint };
            fixture.Receivers.Add(await KvReceiver.ListenAsync(inProcess ? $"loopback://{Guid.NewGuid():n}" : "tcp://127.0.0.1:0", cache, options));
        }

        Assert.True(ShardPlan.TryCreate(source, tokens, sources.AsSpan(), targets.AsSpan(), out ShardPlan? plan, out string? reason), reason);
        for (int s = 0; s < sources.Length; s++)
        {
            var part = new CachePart(source, sources[s]);
            PagedKvCache cache = PagedKvCache.Allocate(part.Layout, sources[s].Tokens.Count);
            fixture._caches.Add(cache);
            fixture.SourceSequences.Add(fixture.Cut(cache, source, sources[s]));
            foreach (ShardPair pair in plan!.Pairs.Where(p => p.Source == s))
            {
                KvSender sender = await KvSender.ConnectAsync(fixture.Receivers[pair.Target].Endpoint, cache, new KvSenderOptions { Name = $"prefill-{s}", Part = part, Codec = codec, ResumeWithin = resume });
                fixture._sessions.Add(sender);
                fixture.Senders[(s, pair.Target)] = sender;
            }
        }

        return fixture;
    }

    internal HandoffOffer Offer(Guid id, int source, int target, TimeSpan? deadline = null) => new()
    {
        HandoffId = id,
        TotalTokens = Tokens,
        Deadline = deadline ?? TimeSpan.FromSeconds(30),
        Group = new HandoffGroup(Sources, Targets, source, target, Coordinator: 0),
    };

    /// <summary>Every sender offers, publishes and commits; the receivers' sequences in order of targets.</summary>
    internal async Task<KvSequence[]> HandOverAsync()
    {
        var id = Guid.NewGuid();
        Task<KvSequence>[] landing = [.. Receivers.Select(async r => await (await r.IncomingAsync().FirstAsync()).CommittedAsync())];
        await Task.WhenAll(Senders.Select(async pair =>
        {
            KvSequence sequence = SourceSequences[pair.Key.Source];
            await using OutgoingHandoff outgoing = await pair.Value.OfferAsync(sequence, Offer(id, pair.Key.Source, pair.Key.Target));
            for (int layer = 0; layer < sequence.Cache.Layout.LayerCount; layer++) outgoing.Publish(layer, sequence.Tokens);
            await outgoing.CommitAsync(SessionFixture.Manifest(Tokens));
        })).WaitAsync(TimeSpan.FromSeconds(60));
        return await Task.WhenAll(landing).WaitAsync(TimeSpan.FromSeconds(30));
    }

    /// <summary>Row by row: what a target holds is what the whole sequence has there.</summary>
    internal void AssertHolds(int target, KvSequence landed) => AssertHolds(target, landed, Whole);

    /// <summary>As above, against a whole sequence in the target's form.</summary>
    internal void AssertHolds(int target, KvSequence landed, KvSequence whole)
    {
        KvShard shard = Targets[target];
        for (int layer = 0; layer < landed.Cache.Layout.LayerCount; layer++)
        {
            int wholeLayer = layer + shard.Layers.Start, group = TargetLayout.GroupOf(wholeLayer);
            KvLayerView expected = whole.View(wholeLayer), actual = landed.View(layer);
            Assert.Equal(shard.Tokens.Count, actual.Tokens);
            for (int head = 0; head < actual.Geometry.KvHeads; head++)
            {
                int wholeHead = head + shard.HeadsOf(TargetLayout, group).Start;
                for (int plane = 0; plane < actual.Geometry.Planes; plane++)
                {
                    for (int block = 0; actual.Group.HasTail && block < actual.BlockCount; block++)
                    {
                        if (!expected.Scales(block + shard.Tokens.Start / actual.Geometry.BlockTokens, wholeHead, (KvPlane)plane).SequenceEqual(actual.Scales(block, head, (KvPlane)plane)))
                            Assert.Fail($"Target {target} ({shard}): scales of layer {wholeLayer}, head {wholeHead}, {(KvPlane)plane}, block {block} differ.");
                    }

                    for (int token = 0; token < actual.Tokens; token++)
                    {
                        if (!expected.Row(wholeHead, (KvPlane)plane, token + shard.Tokens.Start).SequenceEqual(actual.Row(head, (KvPlane)plane, token)))
                            Assert.Fail($"Target {target} ({shard}): layer {wholeLayer}, head {wholeHead}, {(KvPlane)plane}, token {token + shard.Tokens.Start} differs.");
                    }
                }
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable session in _sessions) await session.DisposeAsync();
        foreach (KvReceiver receiver in Receivers) await receiver.DisposeAsync();
        foreach (KvSequence sequence in SourceSequences) sequence.Dispose();
        Whole.Dispose();
        foreach (PagedKvCache cache in _caches) cache.Dispose();
        WholeCache.Dispose();
    }

    private KvSequence Cut(PagedKvCache cache, KvCacheLayout layout, KvShard shard)
    {
        KvSequence part = cache.CreateSequence();
        Assert.True(part.TryReserve(shard.Tokens.Count));
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            int wholeLayer = layer + shard.Layers.Start, firstHead = shard.HeadsOf(layout, layout.GroupOf(wholeLayer)).Start;
            KvLayerView from = Whole.View(wholeLayer), to = part.View(layer, shard.Tokens.Count);
            for (int head = 0; head < to.Geometry.KvHeads; head++)
            {
                for (int plane = 0; plane < to.Geometry.Planes; plane++)
                {
                    for (int token = 0; token < shard.Tokens.Count; token++)
                        from.Row(head + firstHead, (KvPlane)plane, token + shard.Tokens.Start).CopyTo(to.Row(head, (KvPlane)plane, token));
                    for (int block = 0; block < to.BlockCount; block++)
                        from.Scales(block + shard.Tokens.Start / to.Geometry.BlockTokens, head + firstHead, (KvPlane)plane).CopyTo(to.Scales(block, head, (KvPlane)plane));
                }
            }
        }

        part.Advance(shard.Tokens.Count);
        return part;
    }
}
