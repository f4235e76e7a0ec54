using System.Net;
using System.Net.Sockets;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>What a sender is told when it cannot hand over, and what cancellation and loss leave behind.</summary>
public sealed class RefusalTests
{
    [Fact]
    public async Task A_pool_that_is_too_small_is_told_with_bytes_needed_and_free()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(targetTokens: 128);
        using KvSequence sequence = SessionFixture.Fill(f.Source, 200, seed: 1);
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = 200 }));
        Assert.Equal(HandoffFailure.Rejected, e.Failure);
        Assert.Equal(PagedKvCache.RequiredBytes(f.Target.Layout, 200), e.BytesNeeded);
        Assert.Equal(PagedKvCache.RequiredBytes(f.Target.Layout, 128), e.BytesFree);
        Assert.True(e.RetryAfter > TimeSpan.Zero);
        Assert.Contains(e.BytesNeeded.ToString(), e.Message);
        Assert.Contains(e.BytesFree.ToString(), e.Message);
        Assert.Equal(ConnectionBytes, f.Sender.DataBytesSent);
        Assert.Equal(0, f.Target.UsedBlocks);
    }

    public static TheoryData<string> Differences => ["layers", "heads", "dim", "revision", "rope"];

    [Theory]
    [MemberData(nameof(Differences))]
    public async Task A_cache_that_does_not_match_is_refused_with_both_values(string what)
    {
        KvCacheLayout mine = SessionFixture.Layout();
        KvCacheLayout theirs = what switch
        {
            "layers" => SessionFixture.Layout(layers: 4),
            "heads" => SessionFixture.Layout(kvHeads: 4),
            "dim" => SessionFixture.Layout(headDim: 64),
            "revision" => new KvCacheLayout(SessionFixture.Model with { Revision = "ffff" }, mine.Groups),
            _ => new KvCacheLayout(SessionFixture.Model with { RopeTheta = 500000 }, mine.Groups),
        };
        using PagedKvCache target = PagedKvCache.Allocate(theirs, 128), source = PagedKvCache.Allocate(mine, 128);
        await using KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", target);
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => KvSender.ConnectAsync(receiver.Endpoint, source));
        Assert.Equal(HandoffFailure.LayoutMismatch, e.Failure);
        (string sent, string has) = what switch
        {
            "layers" => ("3", "4"),
            "heads" => ("2", "4"),
            "dim" => ("32", "64"),
            "revision" => ("0123abcd", "ffff"),
            _ => ("10000", "500000"),
        };
        Assert.Contains($"sender {sent}", e.Message);
        Assert.Contains($"receiver {has}", e.Message);
    }

    [Fact]
    public async Task A_server_of_another_protocol_is_named()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        Task answering = Task.Run(async () =>
        {
            using TcpClient client = await other.AcceptTcpClientAsync();
            await client.GetStream().WriteAsync("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"u8.ToArray());
            await Task.Delay(500);
        });
        using PagedKvCache source = PagedKvCache.Allocate(SessionFixture.Layout(), 128);
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => KvSender.ConnectAsync($"tcp://127.0.0.1:{((IPEndPoint)other.LocalEndpoint).Port}", source));
        Assert.Equal(HandoffFailure.ProtocolMismatch, e.Failure);
        await answering;
    }

    [Fact]
    public async Task Nobody_listening_is_a_transport_failure_that_names_the_endpoint()
    {
        using var unused = new TcpListener(IPAddress.Loopback, 0);
        unused.Start();
        int port = ((IPEndPoint)unused.LocalEndpoint).Port;
        unused.Stop();
        using PagedKvCache source = PagedKvCache.Allocate(SessionFixture.Layout(), 128);
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => KvSender.ConnectAsync($"tcp://127.0.0.1:{port}", source));
        Assert.Equal(HandoffFailure.TransportFailed, e.Failure);
        Assert.Contains(port.ToString(), e.Message);
    }

    [Fact]
    public async Task Cancelling_a_commit_frees_both_sides()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, 200, seed: 4);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = 200 });
        IncomingHandoff incoming = await accepting;
        outgoing.Publish(0, 200);
        await Assert.ThrowsAsync<InvalidOperationException>(() => outgoing.CommitAsync(SessionFixture.Manifest(200)));
        await outgoing.DisposeAsync();
        Assert.Equal(HandoffStatus.Aborted, outgoing.Status);
        await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync());
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "blocks released");
        Assert.Equal(HandoffOutcome.Aborted, await f.Sender.QueryAsync(outgoing.Id));
        sequence.Dispose();
        Assert.Equal(0, f.Source.UsedBlocks);
    }

    [Fact]
    public async Task A_receiver_that_gives_up_aborts_the_sender()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, 200, seed: 4);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = 200 });
        await (await accepting).DisposeAsync();
        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, 200);
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => outgoing.CommitAsync(SessionFixture.Manifest(200)));
        Assert.Equal(HandoffFailure.Aborted, e.Failure);
        Assert.Equal(0, f.Target.UsedBlocks);
    }

    [Fact]
    public async Task A_receiver_that_dies_fails_the_sender_and_frees_its_blocks()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, 200, seed: 4);
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = 200 });
        for (int layer = 0; layer < 2; layer++) outgoing.Publish(layer, 200);
        await f.Receiver.DisposeAsync();
        outgoing.Publish(2, 200);
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => outgoing.CommitAsync(SessionFixture.Manifest(200)));
        Assert.Contains(e.Failure, new[] { HandoffFailure.PeerGone, HandoffFailure.Aborted });
        Assert.Equal(0, f.Target.UsedBlocks);
        sequence.Dispose();
        Assert.Equal(0, f.Source.UsedBlocks);
    }

    [Fact]
    public async Task A_deadline_ends_both_sides_with_an_unknown_outcome_for_the_sender()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, 200, seed: 4);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = 200, Deadline = TimeSpan.FromMilliseconds(300) });
        IncomingHandoff incoming = await accepting;
        await SessionFixture.EventuallyAsync(() => outgoing.Status == HandoffStatus.Expired && incoming.Status is HandoffStatus.Expired or HandoffStatus.Aborted, "both sides ended");
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "blocks released");
    }

    [Fact]
    public async Task A_repeated_offer_is_told_the_first_ones_outcome()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        using KvSequence sequence = SessionFixture.Fill(f.Source, 64, seed: 4);
        (KvSequence landed, _, IncomingHandoff incoming) = await f.HandOverAsync(sequence);
        landed.Dispose();
        HandoffException e = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence, new HandoffOffer { HandoffId = incoming.Id, TotalTokens = 64 }));
        Assert.Equal(HandoffFailure.Rejected, e.Failure);
        Assert.Contains("Committed", e.Message);
        Assert.Equal(HandoffOutcome.Committed, await f.Sender.QueryAsync(incoming.Id));
        Assert.Equal(HandoffOutcome.Unknown, await f.Sender.QueryAsync(Guid.NewGuid()));
    }

    [Theory]
    [InlineData("127.0.0.1:80")]
    [InlineData("pigeon://127.0.0.1:80")]
    [InlineData("tcp://127.0.0.1:99999")]
    public async Task A_bad_endpoint_is_an_argument_error_that_quotes_it(string endpoint)
    {
        using PagedKvCache source = PagedKvCache.Allocate(SessionFixture.Layout(), 128);
        ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(() => KvSender.ConnectAsync(endpoint, source));
        Assert.Contains(endpoint, e.Message);
    }

    private const long ConnectionBytes = ConnectionPreface.Bytes;
}
