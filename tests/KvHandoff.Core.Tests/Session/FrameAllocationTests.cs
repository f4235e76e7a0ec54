using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Session;

/// <summary>The hot path, on one thread over a real socket pair: building, sending, receiving, verifying and placing a frame.</summary>
public sealed class FrameAllocationTests
{
    private const int Tokens = 32 * KvSegment.GranuleTokens;

    [Theory]
    [InlineData(CodecId.Raw, 64, DimensionOrder.HeadMajor)]
    [InlineData(CodecId.Raw, 16, DimensionOrder.TokenMajor)]
    [InlineData(CodecId.Fp8E4M3, 64, DimensionOrder.HeadMajor)]
    public async Task A_frame_allocates_nothing_on_either_side(CodecId codec, int blockTokens, DimensionOrder order)
    {
        await using SessionFixture f = await SessionFixture.StartAsync(SessionFixture.Layout(blockTokens: blockTokens, order: order), tokens: Tokens, codec: codec);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 1);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff incoming = await accepting;

        var transport = new TcpTransport();
        Assert.True(TransportEndpoint.TryParse("tcp://127.0.0.1:0", out TransportEndpoint any, out _));
        await using ITransportListener listener = await transport.ListenAsync(any, new TransportOptions(), CancellationToken.None);
        using IConnection sending = await transport.ConnectAsync(listener.Endpoint, new TransportOptions(), CancellationToken.None);
        using IConnection receiving = (await listener.AcceptAsync(CancellationToken.None))!;
        Assert.Equal(0, Measure(f, outgoing, incoming, sending, receiving));
        Assert.True(incoming.LayerAsync(1).IsCompletedSuccessfully);
        Assert.False(incoming.LayerAsync(2).IsCompleted);
    }

    private static long Measure(SessionFixture f, OutgoingHandoff outgoing, IncomingHandoff incoming, IConnection sending, IConnection receiving)
    {
        using var source = new FrameSource(sending, f.Receiver.Epoch);
        using var lander = new FrameLander(receiving, f.Receiver, incoming.Peer);
        long allocated = 0;
        // The last granule of the last layer is left out: completing a handoff may allocate.
        for (int i = 0; i < 3 * 32 - 1; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.True(source.Send(outgoing, i / 32, i % 32).IsOk);
            Assert.True(lander.Next().IsOk);
            if (i % 32 is > 3 and < 31) allocated += GC.GetAllocatedBytesForCurrentThread() - before;
        }

        return allocated;
    }
}
