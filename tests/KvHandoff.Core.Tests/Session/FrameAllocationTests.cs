using KvHandoff.Codec;
using KvHandoff.Core.Tests.Layout;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Session;

/// <summary>
/// The hot path, on one thread over a real socket pair: building, sending, receiving, verifying and placing a frame. What the runtime does
/// once is not the frame's: binding <c>poll</c> at the first receive that has to wait, which a busy machine brings into any frame.
/// </summary>
public sealed class FrameAllocationTests
{
    private const int Tokens = 32 * KvSegment.GranuleTokens, MostOneOffs = 2;

    [Theory]
    [InlineData(CodecId.Raw, 64, DimensionOrder.HeadMajor)]
    [InlineData(CodecId.Raw, 16, DimensionOrder.TokenMajor)]
    [InlineData(CodecId.Fp8E4M3, 64, DimensionOrder.HeadMajor)]
    [InlineData(CodecId.Fp8E4M3, 16, DimensionOrder.PackedKey)]
    [InlineData(CodecId.Int8, 16, DimensionOrder.TokenMajor)]
    [InlineData(CodecId.MxFp8, 64, DimensionOrder.HeadMajor)]
    [InlineData(CodecId.ExponentWindow, 64, DimensionOrder.HeadMajor)]
    [InlineData(CodecId.ExponentWindow, 16, DimensionOrder.TokenMajor)]
    [InlineData(CodecId.Lz4, 16, DimensionOrder.PlaneHeadMajor)]
    [InlineData(CodecId.Auto, 64, DimensionOrder.HeadMajor)]
    public async Task A_frame_allocates_nothing_on_either_side(CodecId codec, int blockTokens, DimensionOrder order)
    {
        await MeasureAsync(SessionFixture.Layout(blockTokens: blockTokens, order: order), null, codec);
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("fp8-tensor")]
    public async Task Nor_does_one_that_is_stored_packed_or_packed_on_the_way(string name)
    {
        KvCacheLayout packed = Three(PackedCase.Group(name, 64)), plain = Three(PackedCase.Group("bf16", 16));
        await MeasureAsync(packed, null, CodecId.Raw);
        await MeasureAsync(plain, packed, CodecId.Raw);

        static KvCacheLayout Three(LayerGroup group) => new(SessionFixture.Model, [group with { Layers = [0, 1, 2] }]);
    }

    private static async Task MeasureAsync(KvCacheLayout layout, KvCacheLayout? target, CodecId codec)
    {
        await using SessionFixture f = await SessionFixture.StartAsync(layout, target, tokens: Tokens, codec: codec);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 1);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await accepting;

        var transport = new TcpTransport();
        Assert.True(TransportEndpoint.TryParse("tcp://127.0.0.1:0", out TransportEndpoint any, out _));
        await using ITransportListener listener = await transport.ListenAsync(any, new TransportOptions(), CancellationToken.None);
        using IConnection sending = await transport.ConnectAsync(listener.Endpoint, new TransportOptions(), CancellationToken.None);
        using IConnection receiving = (await listener.AcceptAsync(CancellationToken.None))!;
        List<long> allocated = Measure(f, outgoing, incoming, sending, receiving);
        Assert.True(allocated.Count(bytes => bytes != 0) <= MostOneOffs, $"Bytes allocated by each of {allocated.Count} frames: {string.Join(' ', allocated)}.");
        Assert.True(incoming.LayerAsync(1).IsCompletedSuccessfully);
        Assert.False(incoming.LayerAsync(2).IsCompleted);
    }

    private static List<long> Measure(SessionFixture f, OutgoingHandoff outgoing, IncomingHandoff incoming, IConnection sending, IConnection receiving)
    {
        using var source = new FrameSource(sending, f.Receiver.Epoch);
        using var lander = new FrameLander(receiving, f.Receiver, incoming.Parts.Single().Peer!);
        HandoffPiece piece = outgoing.Shape.Pieces.Single();
        var allocated = new List<long>(3 * 32);
        // The last granule of the last layer is left out: completing a handoff may allocate.
        for (int i = 0; i < 3 * 32 - 1; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.True(source.Send(outgoing, piece, piece.FrameOf(i / 32, i % 32)).IsOk);
            Assert.True(lander.Next().IsOk);
            // The first layer warms up, whatever codec it comes to.
            if (i >= 32 && i % 32 is > 3 and < 31) allocated.Add(GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return allocated;
    }
}
