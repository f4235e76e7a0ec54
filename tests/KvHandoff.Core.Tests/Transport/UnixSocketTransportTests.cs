using System.Net.Sockets;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public sealed class UnixSocketConformanceTests : ConnectionConformance
{
    protected override ITransport Transport => UnixSocketTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => new("unix", $"@kv-test-{Guid.NewGuid():N}", 0);
}

public sealed class UnixSocketTransportTests : IDisposable
{
    private static readonly UnixSocketTransport Transport = UnixSocketTransport.Instance;

    private readonly string _folder = Directory.CreateTempSubdirectory("kv-unix-").FullName;

    private TransportEndpoint Endpoint => new("unix", Path.Combine(_folder, "kv.sock"), 0);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_path_is_readable_by_its_owner_alone_and_goes_with_its_listener()
    {
        await using (ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, Endpoint))
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Endpoint.Host));
            Assert.Equal(Endpoint, pair.Listener.Endpoint);
            Assert.Contains($"process {Environment.ProcessId}", pair.Client.Description);
            Assert.Contains($"process {Environment.ProcessId}", pair.Server.Description);
            byte[] got = new byte[3];
            Assert.True(pair.Client.Send(new byte[] { 1, 2, 3 }).IsOk);
            Assert.True(pair.Server.Receive(got).IsOk);
            Assert.Equal([1, 2, 3], got);
        }
        Assert.False(Path.Exists(Endpoint.Host));
    }

    [Fact]
    public async Task A_stale_file_is_replaced()
    {
        using (Socket dead = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            // Closed without removing its file, as a killed process leaves it.
            dead.Bind(new SocketFileEndPoint(Endpoint.Host));
            dead.Listen(1);
        }
        Assert.True(Path.Exists(Endpoint.Host));
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, Endpoint);
        Assert.True(pair.Client.Send(new byte[1]).IsOk);
    }

    [Fact]
    public async Task A_live_listener_is_left_alone()
    {
        await using ITransportListener live = await Transport.ListenAsync(Endpoint, TransportOptions.Default, default);
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(Endpoint, TransportOptions.Default, default));
        Assert.Contains("another process listens there", e.Message);
        Assert.Contains(Endpoint.ToString(), e.Message);
        using IConnection still = await Transport.ConnectAsync(Endpoint, TransportOptions.Default, default);
        Assert.NotNull(await live.AcceptAsync(default)); // the probe of the one that failed
        using IConnection accepted = (await live.AcceptAsync(default))!;
        Assert.True(still.Send(new byte[1]).IsOk);
        Assert.True(accepted.Receive(new byte[1]).IsOk);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_file_that_is_no_socket_is_left_alone(bool link)
    {
        string target = Path.Combine(_folder, "notes");
        File.WriteAllText(target, "keep");
        if (link) File.CreateSymbolicLink(Endpoint.Host, target);
        else File.WriteAllText(Endpoint.Host, "keep");
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(Endpoint, TransportOptions.Default, default));
        Assert.Contains("no socket", e.Message);
        Assert.Equal("keep", File.ReadAllText(Endpoint.Host));
    }

    [Fact]
    public async Task A_listener_removes_its_own_file_only()
    {
        ITransportListener first = await Transport.ListenAsync(Endpoint, TransportOptions.Default, default);
        File.Delete(Endpoint.Host);
        await using ITransportListener second = await Transport.ListenAsync(Endpoint, TransportOptions.Default, default);
        await first.DisposeAsync();
        using IConnection client = await Transport.ConnectAsync(Endpoint, TransportOptions.Default, default);
        Assert.NotNull(await second.AcceptAsync(default));
    }

    [Fact]
    public async Task A_peer_of_another_user_is_refused_and_the_listener_goes_on()
    {
        uint own = PeerCredentials.OwnUserId, other = own + 1;
        TransportOptions others = new() { AllowedUserIds = [other] };
        await using ITransportListener listener = await Transport.ListenAsync(Endpoint, others, default);
        Task<IConnection?> accepting = listener.AcceptAsync(default).AsTask();
        for (long refused = 1; refused <= 2; refused++)
        {
            using IConnection client = await Transport.ConnectAsync(Endpoint, TransportOptions.Default, default);
            Assert.NotEqual(TransportStatus.Ok, (await Blocking.Run(() => client.Receive(new byte[1]))).Status);
            IPeerRefusals refusals = Assert.IsAssignableFrom<IPeerRefusals>(listener);
            Assert.Equal(refused, refusals.RefusedPeers);
            Assert.Equal(PeerRefusal.ForeignUser, refusals.LastRefusal!.Refusal);
            Assert.Contains($"user {own}; allowed: {other}", refusals.LastRefusal.Message);
        }
        Assert.False(accepting.IsCompleted);
        await listener.DisposeAsync();
        Assert.Null(await accepting.WaitAsync(Blocking.Limit));
    }

    [Fact]
    public async Task A_listener_of_another_user_is_refused_with_both_ids()
    {
        uint own = PeerCredentials.OwnUserId, other = own + 7;
        await using ITransportListener listener = await Transport.ListenAsync(Endpoint, TransportOptions.Default, default);
        TransportException e = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ConnectAsync(Endpoint, new TransportOptions { AllowedUserIds = [other] }, default));
        Assert.Equal(PeerRefusal.ForeignUser, e.Refusal);
        Assert.Contains($"user {own}; allowed: {other}", e.Message);
    }

    [Fact]
    public async Task Listed_users_are_let_in()
    {
        TransportOptions listed = new() { AllowedUserIds = [PeerCredentials.OwnUserId + 1, PeerCredentials.OwnUserId] };
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, Endpoint, listed);
        Assert.True(pair.Client.Send(new byte[1]).IsOk);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Nobody_there_is_an_error_that_names_the_endpoint(bool path)
    {
        TransportEndpoint endpoint = path ? Endpoint : new("unix", "@kv-test-nobody", 0);
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(endpoint, TransportOptions.Default, default));
        Assert.Contains(endpoint.ToString(), e.Message);
        Assert.Equal(TransportStatus.Failed, e.Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_connect_without_an_answer_ends(bool byCaller)
    {
        using Socket full = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        full.Bind(new SocketFileEndPoint(Endpoint.Host));
        full.Listen(0);
        using Socket first = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        first.Connect(new SocketFileEndPoint(Endpoint.Host));

        TransportOptions options = new() { ConnectTimeout = TimeSpan.FromMilliseconds(byCaller ? 60_000 : 200) };
        using CancellationTokenSource caller = new(byCaller ? 200 : 60_000);
        Task<IConnection> connecting = Transport.ConnectAsync(Endpoint, options, caller.Token);
        if (byCaller)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting.WaitAsync(Blocking.Limit));
            return;
        }
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => connecting.WaitAsync(Blocking.Limit));
        Assert.Equal(TransportStatus.TimedOut, e.Status);
        Assert.Contains(Endpoint.ToString(), e.Message);
    }

    [Theory]
    [InlineData(0, TransportStatus.Closed)]
    [InlineData(50, TransportStatus.Truncated)]
    public async Task A_killed_peer_ends_the_stream(int bytesBefore, TransportStatus expected)
    {
        await using ITransportListener listener = await Transport.ListenAsync(Endpoint, TransportOptions.Default, default);
        using Socket peer = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        peer.Connect(new SocketFileEndPoint(Endpoint.Host));
        using IConnection connection = (await listener.AcceptAsync(default))!;
        peer.Send(new byte[bytesBefore]);
        Task<TransportResult> receiving = Blocking.Run(() => connection.Receive(new byte[100]));
        peer.Close();
        Assert.Equal(expected, (await receiving).Status);
        Assert.Equal(TransportStatus.Reset, connection.Send(new byte[1]).Status);
    }

    [Fact]
    public async Task A_folder_that_does_not_exist_is_an_error()
    {
        TransportEndpoint nowhere = Endpoint with { Host = Path.Combine(_folder, "none", "kv.sock") };
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(nowhere, TransportOptions.Default, default));
        Assert.Contains(nowhere.ToString(), e.Message);
    }
}
