using System.Net;
using System.Net.Sockets;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public sealed class TcpTransportTests : ConnectionConformance
{
    private static readonly TransportEndpoint Loopback = new("tcp", "127.0.0.1", 0);

    protected override ITransport Transport => TcpTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => Loopback;

    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    public async Task A_peer_that_is_killed_is_Reset(int bytesBefore)
    {
        await using ITransportListener listener = await Transport.ListenAsync(Loopback, TransportOptions.Default, default);
        using Socket peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await peer.ConnectAsync(IPAddress.Loopback, listener.Endpoint.Port);
        using IConnection connection = (await listener.AcceptAsync(default))!;
        byte[] sink = new byte[100];
        peer.Send(new byte[bytesBefore]);
        Task<TransportResult> receiving = Blocking.Run(() => connection.Receive(sink));
        await Task.Delay(100);
        peer.LingerState = new LingerOption(true, 0);
        peer.Close();

        TransportResult result = await receiving;
        // Linux hands a blocked call the bytes first and reports the reset on the next one, inside the same message.
        Assert.Equal(TransportStatus.Reset, result.Status);
        Assert.Contains($"{bytesBefore} of 100", result.Message);
    }

    [Fact]
    public async Task A_thousand_connections_leave_no_descriptor()
    {
        if (!OperatingSystem.IsLinux()) return;
        await using ITransportListener listener = await Transport.ListenAsync(Loopback, TransportOptions.Default, default);
        await OpenAndCloseAsync(listener, 20);
        int before = SocketDescriptors();
        await OpenAndCloseAsync(listener, 1000);
        // Other tests of the run open sockets too, but not hundreds.
        Assert.InRange(SocketDescriptors() - before, -200, 200);
    }

    [Fact]
    public async Task A_closed_port_gives_an_error_that_names_the_endpoint()
    {
        TransportEndpoint closed;
        await using (ITransportListener listener = await Transport.ListenAsync(Loopback, TransportOptions.Default, default))
            closed = listener.Endpoint;
        TransportException e = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ConnectAsync(closed, TransportOptions.Default, default));
        Assert.Equal(TransportStatus.Failed, e.Status);
        Assert.Contains(closed.ToString(), e.Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_connect_without_an_answer_ends(bool byCaller)
    {
        if (!OperatingSystem.IsLinux()) return;
        // A full accept queue drops further handshakes: the address is there, and never answers.
        using Socket full = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        full.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        full.Listen(0);
        int port = ((IPEndPoint)full.LocalEndPoint!).Port;
        List<Socket> filling = [];
        for (int i = 0; i < 4; i++)
        {
            Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
            try { socket.Connect(IPAddress.Loopback, port); }
            catch (SocketException) { }
            filling.Add(socket);
        }

        TransportEndpoint endpoint = new("tcp", "127.0.0.1", port);
        TransportOptions options = new() { ConnectTimeout = TimeSpan.FromMilliseconds(byCaller ? 60_000 : 200) };
        using CancellationTokenSource caller = new(byCaller ? 200 : 60_000);
        Task<IConnection> connecting = Transport.ConnectAsync(endpoint, options, caller.Token);
        if (byCaller)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting.WaitAsync(Blocking.Limit));
        }
        else
        {
            TransportException e = await Assert.ThrowsAsync<TransportException>(() => connecting.WaitAsync(Blocking.Limit));
            Assert.Equal(TransportStatus.TimedOut, e.Status);
            Assert.Contains(endpoint.ToString(), e.Message);
        }
        filling.ForEach(s => s.Dispose());
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    public async Task Listening_for_other_hosts_needs_the_option(string address)
    {
        TransportEndpoint any = new("tcp", address, 0);
        TransportException e = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ListenAsync(any, TransportOptions.Default, default));
        Assert.Contains(nameof(TransportOptions.AllowRemotePlaintext), e.Message);
        Assert.Contains(any.ToString(), e.Message);
        if (address.Contains(':') && !Socket.OSSupportsIPv6) return;

        await using ITransportListener listener = await Transport.ListenAsync(any, new() { AllowRemotePlaintext = true }, default);
        Assert.NotEqual(0, listener.Endpoint.Port);
    }

    [Fact]
    public async Task A_taken_port_and_a_foreign_scheme_are_refused()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Loopback, TransportOptions.Default, default);
        TransportException taken = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ListenAsync(listener.Endpoint, TransportOptions.Default, default));
        Assert.Contains(listener.Endpoint.ToString(), taken.Message);
        TransportException foreign = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ConnectAsync(Loopback with { Scheme = "shm" }, TransportOptions.Default, default));
        Assert.Contains("'shm'", foreign.Message);
    }

    [Fact]
    public async Task A_closed_listener_accepts_null()
    {
        ITransportListener listener = await Transport.ListenAsync(Loopback, TransportOptions.Default, default);
        Task<IConnection?> waiting = listener.AcceptAsync(default).AsTask();
        await listener.DisposeAsync();
        Assert.Null(await waiting.WaitAsync(Blocking.Limit));
        Assert.Null(await listener.AcceptAsync(default));
    }

    [Fact]
    public async Task A_cancelled_accept_leaves_the_listener_open()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Loopback, TransportOptions.Default, default);
        using CancellationTokenSource caller = new(20);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => listener.AcceptAsync(caller.Token).AsTask().WaitAsync(Blocking.Limit));
        await OpenAndCloseAsync(listener, 1);
    }

    [Fact]
    public async Task Options_reach_the_socket_and_localhost_resolves()
    {
        TransportOptions options = new() { SendBufferBytes = 100_000, ReceiveBufferBytes = 100_000 };
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, Loopback with { Host = "localhost" }, options);
        Assert.NotNull(pair.Client.Remote);
        Assert.StartsWith("tcp ", pair.Client.Description);
        byte[] got = new byte[3];
        Assert.True(pair.Client.Send(new byte[] { 1, 2, 3 }).IsOk);
        Assert.True(pair.Server.Receive(got).IsOk);
        Assert.Equal([1, 2, 3], got);
    }

    [Fact]
    public void Transports_are_found_by_scheme()
    {
        Assert.True(Transports.TryGet("tcp", out ITransport? tcp));
        Assert.Equal("tcp", tcp.Name);
        Assert.False(Transports.TryGet("carrier-pigeon", out _));
        Assert.Contains("tcp", Transports.Schemes);
    }

    private async Task OpenAndCloseAsync(ITransportListener listener, int count)
    {
        for (int i = 0; i < count; i++)
        {
            ValueTask<IConnection?> accepting = listener.AcceptAsync(default);
            using IConnection client = await Transport.ConnectAsync(listener.Endpoint, TransportOptions.Default, default);
            using IConnection server = (await accepting)!;
            if (i % 10 != 0) continue;
            Assert.True((await client.SendAsync(new byte[1], default)).IsOk);
            Assert.True((await server.ReceiveAsync(new byte[1], default)).IsOk);
        }
    }

    private static int SocketDescriptors() => Directory.GetFileSystemEntries("/proc/self/fd").Length;
}
