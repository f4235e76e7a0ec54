using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Two real processes over shared memory.</summary>
public sealed class SharedMemoryProcessTests : IDisposable
{
    private const int RingBytes = 256 << 10;

    private readonly TransportEndpoint _endpoint = new("shm", Path.Combine(Path.GetTempPath(), $"kvh-{Guid.NewGuid():N}"), 0);

    public void Dispose() => File.Delete(_endpoint.Host);

    [Fact]
    public async Task A_peer_killed_inside_a_receive_ends_our_receive()
    {
        await using ITransportListener listener = await ListenAsync();
        using SharedMemoryPeerProcess peer = new(_endpoint, "receive");
        using IConnection connection = await AcceptFirstByteAsync(listener);
        Task<TransportResult> receiving = Blocking.Run(() => connection.Receive(new byte[100]));
        await Task.Delay(50);
        Assert.False(receiving.IsCompleted);
        Assert.False(((ISharedMemoryPeer)connection).PeerGone.IsCompleted);
        peer.Kill();

        Assert.Equal(TransportStatus.Reset, (await receiving).Status);
        Assert.Equal(TransportStatus.Reset, connection.Send(new byte[1]).Status);
        Assert.Equal(TransportStatus.Reset, (await connection.ReceiveAsync(new byte[1], default)).Status);
        await ((ISharedMemoryPeer)connection).PeerGone.WaitAsync(Blocking.Limit);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_peer_killed_inside_a_send_ends_our_send_and_leaves_what_it_had_sent(bool asynchronous)
    {
        await using ITransportListener listener = await ListenAsync();
        using SharedMemoryPeerProcess peer = new(_endpoint, "send");
        using IConnection connection = await AcceptFirstByteAsync(listener);
        byte[] much = new byte[8 << 20];
        Task<TransportResult> sending = asynchronous
            ? connection.SendAsync(much, default).AsTask().WaitAsync(Blocking.Limit)
            : Blocking.Run(() => connection.Send(much));
        while (connection.Counters.BytesSent < RingBytes) await Task.Delay(1);
        await Task.Delay(50);
        Assert.False(sending.IsCompleted);
        peer.Kill();

        TransportResult sent = await sending;
        Assert.Equal(TransportStatus.Reset, sent.Status);
        Assert.Contains($"{RingBytes} of {much.Length}", sent.Message);
        TransportResult received = await Blocking.Run(() => connection.Receive(much));
        Assert.Equal(TransportStatus.Reset, received.Status);
        Assert.Contains($"{RingBytes} of {much.Length}", received.Message);
    }

    [Fact]
    public async Task A_killed_listener_ends_our_receive_and_its_stale_file_is_replaced()
    {
        using SharedMemoryPeerProcess peer = new(_endpoint, "listen");
        Assert.Equal("listening", await peer.ReadLineAsync());
        using IConnection connection = await SharedMemoryTransport.Instance.ConnectAsync(_endpoint, TransportOptions.Default, default);
        Assert.True(connection.Receive(new byte[1]).IsOk);
        Task<TransportResult> receiving = Blocking.Run(() => connection.Receive(new byte[1]));
        peer.Kill();
        Assert.Equal(TransportStatus.Reset, (await receiving).Status);
        await peer.ExitCodeAsync();

        Assert.True(File.Exists(_endpoint.Host));
        await using ITransportListener next = await ListenAsync();
        using IConnection again = await SharedMemoryTransport.Instance.ConnectAsync(_endpoint, TransportOptions.Default, default);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Regions_are_written_in_place_by_the_peer(bool kill)
    {
        const int First = 3 << 20, Second = 4097;
        using SharedSlab first = SharedSlab.Create("kvhandoff-test", First), second = SharedSlab.Create("kvhandoff-test", Second);
        await using ITransportListener listener = await ListenAsync(new() { SharedRegions = [first, second] });
        using SharedMemoryPeerProcess peer = new(_endpoint, "regions");
        using IConnection connection = (await listener.AcceptAsync(default))!;
        byte[] count = new byte[1];
        Assert.True((await Blocking.Run(() => connection.Receive(count))).IsOk);
        Assert.Equal(2, count[0]);
        Assert.True(IsPattern(first.Span(0, First), 0));
        Assert.True(IsPattern(second.Span(0, Second), 1));

        Task gone = ((ISharedMemoryPeer)connection).PeerGone;
        Assert.False(gone.IsCompleted);
        if (kill) peer.Kill();
        else Assert.True(connection.Send(count).IsOk);
        await gone.WaitAsync(Blocking.Limit);
        if (!kill) Assert.Equal(0, await peer.ExitCodeAsync());
    }

    [Fact]
    public async Task Messages_come_back_from_another_process_and_its_end_is_in_order()
    {
        await using ITransportListener listener = await ListenAsync();
        using SharedMemoryPeerProcess peer = new(_endpoint, "echo");
        using IConnection connection = (await listener.AcceptAsync(default))!;
        byte[] message = new byte[64], answer = new byte[64];
        for (int i = 0; i < 2000; i++)
        {
            new Random(i).NextBytes(message);
            Assert.True(connection.Send(message).IsOk);
            Assert.True(connection.Receive(answer).IsOk);
            Assert.Equal(message, answer);
        }
        Assert.True(connection.CompleteSend().IsOk);
        Assert.Equal(TransportStatus.Closed, (await Blocking.Run(() => connection.Receive(answer))).Status);
        Assert.Equal(0, await peer.ExitCodeAsync());
    }

    private Task<ITransportListener> ListenAsync(TransportOptions? options = null) =>
        SharedMemoryTransport.Instance.ListenAsync(_endpoint, options ?? TransportOptions.Default, default);

    private static async Task<IConnection> AcceptFirstByteAsync(ITransportListener listener)
    {
        IConnection connection = (await listener.AcceptAsync(default).AsTask().WaitAsync(Blocking.Limit))!;
        Assert.True((await Blocking.Run(() => connection.Receive(new byte[1]))).IsOk);
        return connection;
    }

    private static bool IsPattern(ReadOnlySpan<byte> bytes, int region)
    {
        for (int i = 0; i < bytes.Length; i++)
            if (bytes[i] != (byte)(i * 31 + region)) return false;
        return true;
    }
}
