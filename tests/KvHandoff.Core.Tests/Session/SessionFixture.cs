using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Two caches, a receiver and a sender over loopback TCP, with seeded contents.</summary>
internal sealed class SessionFixture : IAsyncDisposable
{
    internal static readonly ModelIdentity Model = new("test-model", "0123abcd", 10000);

    private SessionFixture(PagedKvCache source, PagedKvCache target, KvReceiver receiver, KvSender sender)
    {
        Source = source;
        Target = target;
        Receiver = receiver;
        Sender = sender;
    }

    internal PagedKvCache Source { get; }

    internal PagedKvCache Target { get; }

    internal KvReceiver Receiver { get; }

    internal KvSender Sender { get; }

    internal static KvCacheLayout Layout(int layers = 3, int kvHeads = 2, int headDim = 32, int blockTokens = 64,
        DimensionOrder order = DimensionOrder.HeadMajor, ElementType type = ElementType.BFloat16) =>
        KvCacheLayout.Uniform(Model, layers, kvHeads, headDim, type, blockTokens, order);

    internal static async Task<SessionFixture> StartAsync(KvCacheLayout? source = null, KvCacheLayout? target = null, int tokens = 1024,
        CodecId codec = CodecId.Raw, int streams = 1, KvReceiverOptions? receiverOptions = null, int? targetTokens = null)
    {
        source ??= Layout();
        target ??= source;
        PagedKvCache from = PagedKvCache.Allocate(source, tokens), to = PagedKvCache.Allocate(target, targetTokens ?? tokens);
        foreach (KvBlockPool pool in to.Pools) pool.Fill(0xA5);
        KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", to, receiverOptions);
        KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from, new KvSenderOptions { Codec = codec, Streams = streams });
        return new SessionFixture(from, to, receiver, sender);
    }

    /// <summary>A sequence of seeded rows, with other sequences allocated and freed in between so that its slots are out of order.</summary>
    internal static KvSequence Fill(PagedKvCache cache, int tokens, int seed)
    {
        var random = new Random(seed);
        using KvSequence hole = cache.CreateSequence();
        if (cache.FreeTokens >= tokens + 128) Assert.True(hole.TryReserve(64));
        KvSequence sequence = cache.CreateSequence();
        Assert.True(sequence.TryReserve(tokens));
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            LayerGroup group = cache.Layout.Group(layer);
            var keys = new float[tokens * group.KvHeads * group.HeadDim];
            var values = new float[group.Planes == 2 ? keys.Length : 0];
            foreach (ref float x in keys.AsSpan()) x = (float)(random.NextDouble() * 8 - 4);
            foreach (ref float x in values.AsSpan()) x = (float)(random.NextDouble() * 2 - 1);
            sequence.WriteRows(layer, 0, keys, values);
        }

        sequence.Advance(tokens);
        return sequence;
    }

    internal static HandoffManifest Manifest(int tokens) =>
        new([.. Enumerable.Range(0, tokens)], tokens, FirstToken: 42, SamplerState: new byte[] { 1, 2, 3 }, HostMetadata: new byte[] { 9, 8 });

    /// <summary>Hands a sequence over and returns the landed one; both are the caller's.</summary>
    internal async Task<(KvSequence Landed, HandoffCost Cost, IncomingHandoff Incoming)> HandOverAsync(KvSequence sequence)
    {
        Task<IncomingHandoff> accepting = NextAsync();
        await using OutgoingHandoff outgoing = await Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = sequence.Tokens });
        IncomingHandoff incoming = await accepting;
        for (int layer = 0; layer < Source.Layout.LayerCount; layer++) outgoing.Publish(layer, sequence.Tokens);
        HandoffCost cost = await outgoing.CommitAsync(Manifest(sequence.Tokens));
        return (await incoming.CommittedAsync(), cost, incoming);
    }

    internal async Task<IncomingHandoff> NextAsync()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await foreach (IncomingHandoff incoming in Receiver.IncomingAsync(timeout.Token)) return incoming;
        throw new InvalidOperationException("The receiver ended without a handoff.");
    }

    /// <summary>Every row of both sequences as bytes, compared one by one.</summary>
    internal static void AssertSameRows(KvSequence expected, KvSequence actual)
    {
        Assert.Equal(expected.Tokens, actual.Tokens);
        for (int layer = 0; layer < expected.Cache.Layout.LayerCount; layer++)
        {
            KvLayerView a = expected.View(layer), b = actual.View(layer);
            for (int head = 0; head < a.Geometry.KvHeads; head++)
            {
                for (int plane = 0; plane < a.Geometry.Planes; plane++)
                {
                    for (int token = 0; token < a.Tokens; token++)
                    {
                        if (!a.Row(head, (KvPlane)plane, token).SequenceEqual(b.Row(head, (KvPlane)plane, token)))
                            Assert.Fail($"Layer {layer}, head {head}, {(KvPlane)plane}, token {token} differs.");
                    }
                }
            }
        }
    }

    /// <summary>Waits until a condition that another thread brings about holds.</summary>
    internal static async Task EventuallyAsync(Func<bool> condition, string what)
    {
        for (int i = 0; i < 400; i++)
        {
            if (condition()) return;
            await Task.Delay(25);
        }

        Assert.Fail($"Still not so after 10 s: {what}");
    }

    public async ValueTask DisposeAsync()
    {
        await Sender.DisposeAsync();
        await Receiver.DisposeAsync();
        Source.Dispose();
        Target.Dispose();
    }
}
