using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>What is UCX's own: addresses, one-sided writes, and what a peer is told.</summary>
public sealed class UcxTransportTests
{
    private static readonly ITransport Transport = UcxTransport.Instance;

    [Fact]
    public void The_scheme_is_known_whether_the_library_is_there_or_not() => Assert.True(Transports.TryGet("ucx", out _));

    [UcxFact]
    public async Task Nobody_there_and_an_address_of_other_hosts_are_errors_that_name_the_endpoint()
    {
        ITransportListener listener = await Transport.ListenAsync(UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp), default);
        TransportEndpoint endpoint = listener.Endpoint;
        Assert.NotEqual(0, endpoint.Port);
        await listener.DisposeAsync();
        Assert.Null(await listener.AcceptAsync(default));
        TransportException nobody = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(endpoint, UcxRows.Over(UcxRows.Tcp), default).WaitAsync(Blocking.Limit));
        Assert.Contains(endpoint.ToString(), nobody.Message);
        TransportException open = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(new("ucx", "0.0.0.0", 0), TransportOptions.Default, default));
        Assert.Contains(nameof(TransportOptions.AllowRemotePlaintext), open.Message);
        TransportException unknown = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(UcxRows.Anywhere, UcxRows.Over("nosuch"), default));
        Assert.Contains("nosuch", unknown.Message);
    }

    [UcxTheory]
    [InlineData(UcxRows.Tcp)]
    [InlineData(UcxRows.SharedMemory)]
    public async Task What_is_written_from_afar_is_in_place_after_its_flush(string transports)
    {
        const int Length = 5 << 20;
        using NativeSlab first = NativeSlab.Allocate(Length), second = NativeSlab.Allocate(4097), source = NativeSlab.Allocate(Length);
        new Random(5).NextBytes(source.Span(0, Length));
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, UcxRows.Anywhere, UcxRows.Over(transports) with { UcxOneSided = true, RemoteRegions = [first, second] });
        var writer = (IRemoteMemoryPeer)pair.Client;
        Assert.Equal(new long[] { Length, 4097 }, writer.RegionBytes);
        Assert.True(((IRemoteMemoryPeer)pair.Server).RegionBytes.IsEmpty);
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.StartWrite(new IoRange(source.Address, 4096), 1, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => writer.StartWrite(new IoRange(source.Address, 1), 2, 0));

        // The peer only waits for a byte, which comes behind the flush: its own waiting is what lets the writes in.
        Task<TransportResult> receiving = Blocking.Run(() => pair.Server.Receive(new byte[1]));
        TransportResult written = await Blocking.Run(() =>
        {
            for (int at = 0; at < Length; at += 100_000)
                if (writer.StartWrite(new IoRange(source.Address + at, Math.Min(100_000, Length - at)), 0, at) is { IsOk: false } failed) return failed;
            if (writer.StartWrite(new IoRange(source.Address, 17), 1, 4080) is { IsOk: false } other) return other;
            TransportResult flushed = writer.StartFlush(out long flush);
            if (flushed.IsOk) flushed = writer.FinishFlush(flush);
            return flushed.IsOk ? pair.Client.Send(new byte[1]) : flushed;
        });
        Assert.Equal(TransportResult.Ok, written);
        Assert.Equal(TransportResult.Ok, await receiving);
        Assert.True(source.Span(0, Length).SequenceEqual(first.Span(0, Length)));
        Assert.True(source.Span(0, 17).SequenceEqual(second.Span(4080, 17)));
        Assert.Equal(0, second.Span(4079, 1)[0]);
    }

    [UcxTheory]
    [InlineData(UcxRows.Tcp, false)]
    [InlineData(UcxRows.Tcp, true)]
    [InlineData(UcxRows.SharedMemory, false)]
    [InlineData(UcxRows.SharedMemory, true)]
    public async Task The_peer_is_gone_when_it_has_closed_and_not_before(string transports, bool abort)
    {
        using NativeSlab region = NativeSlab.Allocate(1 << 20);
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, UcxRows.Anywhere, UcxRows.Over(transports) with { UcxOneSided = true, RemoteRegions = [region] });
        Task gone = ((IRemoteMemoryPeer)pair.Server).PeerGone;
        // This side's end alone says nothing about what the peer still writes.
        pair.Server.Dispose();
        await Task.Delay(300);
        Assert.False(gone.IsCompleted);
        if (abort) pair.Client.Abort();
        pair.Client.Dispose();
        await gone.WaitAsync(Blocking.Limit);
    }

    [UcxFact]
    public async Task Regions_are_not_offered_where_writes_would_be_emulated()
    {
        // Over TCP UCX writes by messages that the receiving process copies from.
        using NativeSlab region = NativeSlab.Allocate(1 << 20);
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp) with { RemoteRegions = [region] });
        Assert.False(((IRemoteMemoryPeer)pair.Server).OffersRegions);
        Assert.True(((IRemoteMemoryPeer)pair.Client).RegionBytes.IsEmpty);
        Assert.Contains("tcp/", ((UcxConnection)pair.Client).Lanes);
    }

    [Theory]
    [InlineData("#   lane[0]: cm rdmacm\n#   lane[1]:  0:tcp/lo.0 md[0]   -> md[0]/tcp/sysdev[255] rma_bw#0 am am_bw#0 wireup\n", "tcp/lo", false)]
    [InlineData("#   lane[0]:  5:rc_mlx5/mlx5_0:1.0 md[4]   -> md[4]/ib/sysdev[0] rma_bw#0 am am_bw#0 rma#0\n", "rc_mlx5/mlx5_0:1 rma", true)]
    [InlineData("nothing", "", false)]
    public void Lanes_are_read_from_what_is_printed(string printed, string lanes, bool native)
    {
        Assert.Equal(lanes, UcxLanes.Read(printed));
        Assert.Equal(native, UcxLanes.WriteNatively(lanes));
    }

    [UcxFact]
    public async Task A_peer_that_no_device_reaches_hears_why_and_is_counted()
    {
        // A well-formed greeting with a worker's address that is none.
        await using ITransportListener listener = await Transport.ListenAsync(UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp), default);
        using IConnection socket = await TcpTransport.Instance.ConnectAsync(new("tcp", "127.0.0.1", listener.Endpoint.Port), TransportOptions.Default, default);
        Assert.True((await socket.SendAsync(UcxBootstrap.Write(1 << 20, [0, 0, 0, 0], []), default)).IsOk);
        (_, string? refusal) = await UcxBootstrap.ReceiveAsync(socket, 0, default).WaitAsync(Blocking.Limit);
        Assert.Contains("refuses", refusal);
        Assert.Contains("connect to the peer's worker", refusal);
        var refusals = (IPeerRefusals)listener;
        Assert.Equal(1, refusals.RefusedPeers);
        Assert.Contains("connect to the peer's worker", refusals.LastRefusal!.Message);
    }

    [UcxFact]
    public async Task A_peer_that_speaks_something_else_is_not_accepted_and_keeps_nobody_out()
    {
        await using ITransportListener listener = await Transport.ListenAsync(UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp), default);
        using (var stranger = new System.Net.Sockets.TcpClient())
        {
            await stranger.ConnectAsync("127.0.0.1", listener.Endpoint.Port);
            await stranger.GetStream().WriteAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());
            ValueTask<IConnection?> accepting = listener.AcceptAsync(default);
            using IConnection client = await Transport.ConnectAsync(listener.Endpoint, UcxRows.Over(UcxRows.Tcp), default).WaitAsync(Blocking.Limit);
            using IConnection? server = await accepting.AsTask().WaitAsync(Blocking.Limit);
            Assert.True(client.Send(new byte[] { 3 }).IsOk);
            byte[] got = new byte[1];
            Assert.True((await Blocking.Run(() => server!.Receive(got))).IsOk);
            Assert.Equal(3, got[0]);
        }
    }
}
