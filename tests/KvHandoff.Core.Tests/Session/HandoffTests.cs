using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

public sealed class HandoffTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(63, 1)]
    [InlineData(64, 1)]
    [InlineData(65, 2)]
    [InlineData(300, 3)]
    public async Task Every_row_arrives_and_every_block_is_returned(int tokens, int streams)
    {
        await using SessionFixture f = await SessionFixture.StartAsync(streams: streams);
        using KvSequence sequence = SessionFixture.Fill(f.Source, tokens, seed: tokens);
        (KvSequence landed, HandoffCost cost, IncomingHandoff incoming) = await f.HandOverAsync(sequence);
        SessionFixture.AssertSameRows(sequence, landed);
        Assert.Equal(HandoffStatus.Committed, incoming.Status);
        Assert.Equal(SessionFixture.Manifest(tokens), incoming.Manifest);
        Assert.Equal(f.Source.Layout.BytesForTokens(tokens), cost.KvBytes);
        Assert.True(cost.WireBytes > cost.KvBytes);
        Assert.Equal(0, cost.BytesCopied);
        Assert.True(cost[HandoffPhase.Verify] > TimeSpan.Zero);
        landed.Dispose();
        Assert.Equal(0, f.Target.UsedBlocks);
        sequence.Dispose();
        Assert.Equal(0, f.Source.UsedBlocks);
    }

    [Fact]
    public async Task Wire_bytes_are_what_the_sockets_counted()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, 200, seed: 1);
        (KvSequence landed, HandoffCost cost, _) = await f.HandOverAsync(sequence);
        landed.Dispose();
        Assert.Equal(cost.WireBytes + ConnectionPreface.Bytes, f.Sender.DataBytesSent);
        Assert.Equal(f.Sender.DataBytesSent, f.Receiver.DataBytesReceived);
    }

    [Theory]
    [InlineData(64, DimensionOrder.HeadMajor, 16, DimensionOrder.HeadMajor)]
    [InlineData(16, DimensionOrder.TokenMajor, 64, DimensionOrder.HeadMajor)]
    [InlineData(64, DimensionOrder.HeadMajor, 100, DimensionOrder.TokenMajor)]
    [InlineData(1, DimensionOrder.TokenMajor, 256, DimensionOrder.TokenMajor)]
    [InlineData(48, DimensionOrder.HeadMajor, 48, DimensionOrder.HeadMajor)]
    public async Task Block_size_and_order_may_differ(int fromBlock, DimensionOrder fromOrder, int toBlock, DimensionOrder toOrder)
    {
        await using SessionFixture f = await SessionFixture.StartAsync(
            SessionFixture.Layout(blockTokens: fromBlock, order: fromOrder), SessionFixture.Layout(blockTokens: toBlock, order: toOrder), streams: 2);
        using KvSequence sequence = SessionFixture.Fill(f.Source, 333, seed: 7);
        (KvSequence landed, _, _) = await f.HandOverAsync(sequence);
        using (landed) SessionFixture.AssertSameRows(sequence, landed);
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    public async Task Fp8_codec_stays_within_half_a_step_of_each_row(ElementType type)
    {
        await using SessionFixture f = await SessionFixture.StartAsync(SessionFixture.Layout(type: type), codec: CodecId.Fp8E4M3);
        using KvSequence sequence = SessionFixture.Fill(f.Source, 130, seed: 3);
        (KvSequence landed, HandoffCost cost, _) = await f.HandOverAsync(sequence);
        using (landed)
        {
            Assert.True(cost.WireBytes < cost.KvBytes);
            // One pass on each side: encoding writes the codes and fp32 scales, decoding writes the rows, both on the block itself.
            long codes = cost.KvBytes / type.SizeBytes();
            Assert.Equal(codes + codes / 32 * 4 + cost.KvBytes, cost.BytesCopied);
            AssertRowsWithin(sequence, landed, type);
        }
    }

    [Fact]
    public async Task A_latent_cache_travels_as_one_plane()
    {
        KvCacheLayout latent = KvCacheLayout.Latent(SessionFixture.Model, layers: 2, latentDim: 48, ropeDim: 16);
        await using SessionFixture f = await SessionFixture.StartAsync(latent);
        using KvSequence sequence = SessionFixture.Fill(f.Source, 100, seed: 5);
        (KvSequence landed, HandoffCost cost, _) = await f.HandOverAsync(sequence);
        using (landed) SessionFixture.AssertSameRows(sequence, landed);
        Assert.Equal(2 * 100 * 64 * 2, cost.KvBytes);
    }

    [Fact]
    public async Task Layers_are_announced_as_they_land_and_nothing_is_published_before_the_manifest()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, 150, seed: 2);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = 150 });
        IncomingHandoff incoming = await accepting;
        outgoing.Publish(2, 150);
        await incoming.LayerAsync(2).WaitAsync(TimeSpan.FromSeconds(10));
        Assert.False(incoming.LayerAsync(0).IsCompleted);
        outgoing.Publish(0, 70);
        outgoing.Publish(0, 150);
        outgoing.Publish(1, 150);
        await incoming.LayerAsync(0).WaitAsync(TimeSpan.FromSeconds(10));
        await incoming.LayerAsync(1).WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(HandoffStatus.Landing, incoming.Status);
        Assert.Throws<InvalidOperationException>(() => incoming.Manifest);
        await outgoing.CommitAsync(SessionFixture.Manifest(150));
        (await incoming.CommittedAsync()).Dispose();
    }

    [Fact]
    public async Task A_memfd_and_host_memory_receive_like_an_own_slab()
    {
        KvCacheLayout layout = SessionFixture.Layout();
        using SharedSlab shared = SharedSlab.Create("kvhandoff-test", PagedKvCache.RequiredBytes(layout, 512));
        using var host = HostRegion.Wrap(shared.Address, shared.LengthBytes);
        using PagedKvCache source = PagedKvCache.Allocate(layout, 512), target = PagedKvCache.Over(layout, host, 512);
        await using KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", target);
        await using KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, source);
        using KvSequence sequence = SessionFixture.Fill(source, 100, seed: 8);
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = 100 });
        for (int layer = 0; layer < layout.LayerCount; layer++) outgoing.Publish(layer, 100);
        await outgoing.CommitAsync(SessionFixture.Manifest(100));
        await foreach (IncomingHandoff incoming in receiver.IncomingAsync())
        {
            using KvSequence landed = await incoming.CommittedAsync();
            SessionFixture.AssertSameRows(sequence, landed);
            break;
        }
    }

    [Fact]
    public async Task Many_handoffs_share_one_connection()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 4096, streams: 2);
        var sequences = Enumerable.Range(0, 12).Select(i => SessionFixture.Fill(f.Source, 40 + i * 17, seed: i)).ToList();
        var landed = new Dictionary<Guid, KvSequence>();
        Task<HandoffCost>[] sending = [.. sequences.Select(async s =>
        {
            await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(s, new HandoffOffer { TotalTokens = s.Tokens });
            for (int layer = 0; layer < f.Source.Layout.LayerCount; layer++) outgoing.Publish(layer, s.Tokens);
            return await outgoing.CommitAsync(SessionFixture.Manifest(s.Tokens));
        })];
        for (int i = 0; i < sequences.Count; i++)
        {
            IncomingHandoff incoming = await f.NextAsync();
            landed[incoming.Id] = await incoming.CommittedAsync();
        }

        await Task.WhenAll(sending);
        foreach (KvSequence sequence in sequences) SessionFixture.AssertSameRows(sequence, landed.Values.Single(l => l.Tokens == sequence.Tokens));
        foreach (KvSequence sequence in sequences.Concat(landed.Values)) sequence.Dispose();
        Assert.Equal(0, f.Source.UsedBlocks + f.Target.UsedBlocks);
    }

    private static void AssertRowsWithin(KvSequence expected, KvSequence actual, ElementType type)
    {
        int dim = expected.Cache.Layout.Group(0).HeadDim;
        for (int token = 0; token < expected.Tokens; token++)
        {
            float[] x = Floats(expected.View(1).Row(1, KvPlane.Key, token), type), y = Floats(actual.View(1).Row(1, KvPlane.Key, token), type);
            float amax = x.Max(Math.Abs);
            // E4M3 has 3 mantissa bits: half a step is 1/16 of the value, and at least half of the smallest subnormal times the scale.
            for (int d = 0; d < dim; d++) Assert.True(Math.Abs(x[d] - y[d]) <= Math.Abs(x[d]) / 15 + amax / 448 / 1024, $"token {token}, dim {d}: {x[d]} became {y[d]}");
        }
    }

    private static float[] Floats(ReadOnlySpan<byte> row, ElementType type)
    {
        var floats = new float[row.Length / type.SizeBytes()];
        for (int i = 0; i < floats.Length; i++)
        {
            floats[i] = type switch
            {
                ElementType.Float32 => BitConverter.ToSingle(row[(i * 4)..]),
                ElementType.Float16 => (float)BitConverter.ToHalf(row[(i * 2)..]),
                _ => BitConverter.Int32BitsToSingle(BitConverter.ToUInt16(row[(i * 2)..]) << 16),
            };
        }

        return floats;
    }
}
