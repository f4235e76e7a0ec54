using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public sealed class LoopbackTransportTests : ConnectionConformance
{
    protected override ITransport Transport => LoopbackTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => new("loopback", Guid.NewGuid().ToString("N"), 0);

    [Fact]
    public async Task A_name_is_held_by_one_listener_until_it_closes()
    {
        TransportEndpoint endpoint = AnyEndpoint;
        ITransportListener first = await Transport.ListenAsync(endpoint, Options, default);
        TransportException taken = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(endpoint, Options, default));
        Assert.Contains(endpoint.ToString(), taken.Message);
        await first.DisposeAsync();
        await using ITransportListener second = await Transport.ListenAsync(endpoint, Options, default);
        await first.DisposeAsync();
        using IConnection connection = await Transport.ConnectAsync(endpoint, Options, default);
        Assert.Contains(endpoint.Host, connection.Description);
        Assert.Null(connection.Remote);
    }

    [Fact]
    public async Task Nobody_there_a_full_queue_and_a_closed_listener_are_errors_that_name_the_endpoint()
    {
        TransportEndpoint endpoint = AnyEndpoint;
        TransportException nobody = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(endpoint, Options, default));
        Assert.Contains(endpoint.ToString(), nobody.Message);

        ITransportListener listener = await Transport.ListenAsync(endpoint, Options, default);
        List<IConnection> waiting = [];
        for (int i = 0; i < 512; i++) waiting.Add(await Transport.ConnectAsync(endpoint, Options, default));
        TransportException full = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(endpoint, Options, default));
        Assert.Contains("512", full.Message);
        await listener.DisposeAsync();
        Assert.Equal(TransportStatus.Reset, waiting[0].Receive(new byte[1]).Status);
        Assert.Null(await listener.AcceptAsync(default));
    }

    [Fact]
    public async Task What_waits_is_bounded()
    {
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, AnyEndpoint);
        Task<TransportResult> sending = Blocking.Run(() => pair.Client.Send(new byte[1 << 20]));
        Assert.True((await pair.Server.ReceiveAsync(new byte[1], default)).IsOk);
        Assert.InRange(pair.Client.Counters.BytesSent, 1, (64 << 10) + 1);
        Assert.False(sending.IsCompleted);
        pair.Client.Abort();
        await sending;
    }
}
