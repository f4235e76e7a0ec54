using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Core.Tests.Layout;
using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Caches with packed blocks and a BF16 tail, handed over to caches of the same and of other forms.</summary>
public sealed class StoredHandoffTests
{
    private const int Tokens = 150;

    public static TheoryData<string> Names => PackedCase.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_packed_cache_arrives_byte_for_byte_whatever_the_order_and_block_size(string name)
    {
        foreach ((int block, DimensionOrder order) in ((int, DimensionOrder)[])[(64, DimensionOrder.HeadMajor), (64, DimensionOrder.TokenMajor), (16, DimensionOrder.PackedKey), (128, DimensionOrder.HeadMajor)])
        {
            // Smaller tiles take a tile's scales as they are; larger ones are another matter, below.
            await using Pair pair = await Pair.StartAsync(PackedCase.Group(name), PackedCase.Group(name, block, order));
            using KvSequence sent = PackedCase.Fill(pair.Source, Tokens, 3);
            using KvSequence landed = await pair.HandOverAsync(sent);
            bool sameTail = block >= 64 || !sent.Cache.Layout.Groups[0].HasTail;
            AssertSame(sent, landed, sameTail ? Tokens : 128);
            Assert.Equal(order == DimensionOrder.HeadMajor && sent.Cache.Layout.Groups[0].HasTail, pair.CopiedNothing);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_sender_with_wider_rows_packs_on_the_way_as_the_receiver_would(string name)
    {
        LayerGroup target = PackedCase.Group(name, 32);
        await using Pair pair = await Pair.StartAsync(PackedCase.Group("bf16", 16, DimensionOrder.TokenMajor), target);
        using KvSequence sent = PackedCase.Fill(pair.Source, Tokens, 5);
        using KvSequence landed = await pair.HandOverAsync(sent);
        using PagedKvCache own = PackedCase.Cache(target, 256);
        using KvSequence expected = PackedCase.Fill(own, Tokens, 5, rounded: true);
        AssertSame(expected, landed, Tokens);
        TransferSteps steps = pair.Sender.Plan.Steps;
        Assert.Equal(TransferSteps.Permute | TransferSteps.Reblock | TransferSteps.Transcode | TransferSteps.Lossy, steps);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_packed_cache_is_unpacked_for_a_receiver_that_stores_fp32(string name)
    {
        await using Pair pair = await Pair.StartAsync(PackedCase.Group(name, 32), PackedCase.Group("fp32", 16, DimensionOrder.PlaneHeadMajor));
        using KvSequence sent = PackedCase.Fill(pair.Source, Tokens, 7);
        using KvSequence landed = await pair.HandOverAsync(sent);
        AssertSame(sent, landed, Tokens);
    }

    [Fact]
    public async Task Larger_tiles_are_packed_anew_and_the_plan_says_that_this_rounds()
    {
        await using Pair pair = await Pair.StartAsync(PackedCase.Group("int8", 16), PackedCase.Group("int8", 64));
        Assert.True(pair.Sender.Plan.Steps.HasFlag(TransferSteps.Lossy));
        using KvSequence sent = PackedCase.Fill(pair.Source, Tokens, 9);
        using KvSequence landed = await pair.HandOverAsync(sent);
        Assert.Equal(22, landed.View(0).TailTokens);
        float[] before = PackedCase.Unpack(sent, 1, 2, KvPlane.Key), after = PackedCase.Unpack(landed, 1, 2, KvPlane.Key);
        for (int i = 0; i < before.Length; i++) Assert.Equal(before[i], after[i], 0.02f);
        Assert.NotEqual(before, after);
    }

    [Theory]
    [InlineData("int8", CodecId.Raw)]
    [InlineData("fp8", CodecId.Raw)]
    [InlineData("bf16", CodecId.ExponentWindow)]
    [InlineData("bf16", CodecId.Int8)]
    [InlineData("bf16", CodecId.MxFp8)]
    public async Task What_landed_can_be_attended_to_and_appended_to(string name, CodecId codec)
    {
        LayerGroup group = PackedCase.Group(name);
        await using Pair pair = await Pair.StartAsync(group, group, codec);
        using KvSequence sent = PackedCase.Fill(pair.Source, 100, 11);
        using KvSequence landed = await pair.HandOverAsync(sent);
        Assert.True(sent.TryReserve(140));
        Assert.True(landed.TryReserve(140));
        for (int layer = 0; layer < 2; layer++)
        {
            float[] keys = PackedCase.Rows(group, 40, 50 + layer), values = PackedCase.Rows(group, 40, 60 + layer);
            PackedCase.Append(sent, layer, 100, keys, values, 1);
            PackedCase.Append(landed, layer, 100, keys, values, 11);
        }

        sent.Advance(40);
        landed.Advance(40);
        bool exact = !(KvCodecs.TryGet(codec, out IKvCodec? used) && used.IsLossy);
        if (exact) AssertSame(sent, landed, 140);
        float[] query = PackedCase.Rows(group, 2, 70), expected = new float[query.Length], actual = new float[query.Length];
        float[] sum = new float[6];
        PagedDecodeAttention.Run(sent.View(1), 6, query, default, expected, sum);
        PagedDecodeAttention.Run(landed.View(1), 6, query, default, actual, sum);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], exact ? 0f : 0.02f);
    }

    [Fact]
    public async Task A_codec_of_plain_rows_is_refused_for_packed_ones_with_the_way_out()
    {
        await using Pair pair = await Pair.StartAsync(PackedCase.Group("int8"), PackedCase.Group("int8"));
        using KvSequence sent = PackedCase.Fill(pair.Source, 70, 1);
        ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(() => pair.Sender.OfferAsync(sent, new HandoffOffer { TotalTokens = 70, Codec = CodecId.ExponentWindow }));
        Assert.Contains("Codec ew3 takes plain rows", e.Message);
        Assert.Contains("use raw", e.Message);
        e = await Assert.ThrowsAsync<ArgumentException>(() => pair.Sender.OfferAsync(sent, new HandoffOffer { TotalTokens = 65 }));
        Assert.Contains("65 of the sequence's 70 tokens", e.Message);
        Assert.Contains("tiles of 64", e.Message);
    }

    private static void AssertSame(KvSequence expected, KvSequence actual, int tokens)
    {
        Assert.Equal(expected.Tokens, actual.Tokens);
        int dim = expected.Cache.Layout.Groups[0].HeadDim;
        for (int layer = 0; layer < 2; layer++)
        {
            for (int head = 0; head < 3; head++)
            {
                foreach (KvPlane plane in Enum.GetValues<KvPlane>())
                {
                    float[] a = PackedCase.Unpack(expected, layer, head, plane)[..(tokens * dim)], b = PackedCase.Unpack(actual, layer, head, plane)[..(tokens * dim)];
                    Assert.Equal(a, b);
                }
            }
        }
    }

    private sealed class Pair : IAsyncDisposable
    {
        internal required PagedKvCache Source { get; init; }

        internal required PagedKvCache Target { get; init; }

        internal required KvReceiver Receiver { get; init; }

        internal required KvSender Sender { get; init; }

        internal bool CopiedNothing { get; private set; }

        internal static async Task<Pair> StartAsync(LayerGroup source, LayerGroup target, CodecId codec = CodecId.Raw)
        {
            PagedKvCache from = PackedCase.Cache(source, 256), to = PackedCase.Cache(target, 256);
            KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", to);
            KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from, new KvSenderOptions { Codec = codec, Streams = 2 });
            return new Pair { Source = from, Target = to, Receiver = receiver, Sender = sender };
        }

        internal async Task<KvSequence> HandOverAsync(KvSequence sequence)
        {
            await using OutgoingHandoff outgoing = await Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = sequence.Tokens });
            using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            await using IAsyncEnumerator<IncomingHandoff> arriving = Receiver.IncomingAsync(timeout.Token).GetAsyncEnumerator();
            Assert.True(await arriving.MoveNextAsync());
            for (int layer = 0; layer < 2; layer++) outgoing.Publish(layer, sequence.Tokens);
            HandoffCost cost = await outgoing.CommitAsync(SessionFixture.Manifest(sequence.Tokens));
            CopiedNothing = cost.BytesCopied == 0;
            return await arriving.Current.CommittedAsync();
        }

        public async ValueTask DisposeAsync()
        {
            await Sender.DisposeAsync();
            await Receiver.DisposeAsync();
            Assert.Equal(0, Target.UsedBlocks);
            Source.Dispose();
            Target.Dispose();
        }
    }
}
