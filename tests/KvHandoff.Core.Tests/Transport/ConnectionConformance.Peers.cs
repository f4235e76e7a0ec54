using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public abstract partial class ConnectionConformance
{
    [Fact]
    public async Task Many_connections_carry_their_own_bytes_at_once()
    {
        const int Count = 12, Total = 1 << 20;
        await using ITransportListener listener = await Transport.ListenAsync(AnyEndpoint, Options, default);
        List<IConnection> opened = [];
        Task<IConnection>[] connecting = [.. Enumerable.Range(0, Count).Select(_ => Transport.ConnectAsync(listener.Endpoint, Options, default))];
        for (int i = 0; i < Count; i++) opened.Add((await listener.AcceptAsync(default).AsTask().WaitAsync(Blocking.Limit))!);
        IConnection[] clients = await Task.WhenAll(connecting).WaitAsync(Blocking.Limit);

        // Accepted in any order: each client says who it is first.
        Task<TransportResult>[] sending = [.. clients.Select((client, i) => Blocking.Run(() =>
            client.Send([(byte)i]) is { IsOk: false } failed ? failed : client.Send(RandomBytes(Total, i))))];
        Task<int>[] receiving = [.. opened.Select(server => Blocking.Run(() =>
        {
            byte[] who = new byte[1], got = new byte[Total];
            Assert.True(server.Receive(who).IsOk);
            Assert.True(server.Receive(got).IsOk);
            Assert.True(RandomBytes(Total, who[0]).AsSpan().SequenceEqual(got));
            return (int)who[0];
        }))];
        Assert.Equal(Enumerable.Range(0, Count), (await Task.WhenAll(receiving)).Order());
        Assert.All(await Task.WhenAll(sending), sent => Assert.Equal(TransportResult.Ok, sent));
        foreach (IConnection connection in opened.Concat(clients)) connection.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Abort_wakes_vectored_calls_in_the_middle(bool dispose)
    {
        const int Range = 100_000, Count = 600;
        await using ConnectionPair pair = await OpenAsync();
        using NativeSlab source = NativeSlab.Allocate(Range), target = NativeSlab.Allocate(Range);
        Task<TransportResult> sending = Blocking.Run(() => pair.Client.SendVectors(Repeated(source.Address)));
        Task<TransportResult> receiving = Blocking.Run(() => pair.Client.ReceiveVectors(Repeated(target.Address)));
        byte[] some = new byte[Range / 2];
        Assert.True((await Blocking.Run(() => pair.Server.Receive(some))).IsOk);
        Assert.True(pair.Server.Send(some).IsOk);
        Assert.False(sending.IsCompleted);
        Assert.False(receiving.IsCompleted);
        if (dispose) pair.Client.Dispose();
        else pair.Client.Abort();
        Assert.Equal(TransportStatus.Aborted, (await sending).Status);
        Assert.Equal(TransportStatus.Aborted, (await receiving).Status);

        static IoRange[] Repeated(nint address) => [.. Enumerable.Repeat(new IoRange(address, Range), Count)];
    }

    [Fact]
    public async Task A_peer_that_gives_up_ends_every_call_of_the_other_side()
    {
        await using ConnectionPair pair = await OpenAsync();
        byte[] much = new byte[64 << 20];
        Task<TransportResult> receiving = Blocking.Run(() => pair.Client.Receive(new byte[100]));
        Task<TransportResult> sending = Blocking.Run(() => pair.Client.Send(much));
        Assert.True((await Blocking.Run(() => pair.Server.Receive(new byte[1000]))).IsOk);
        pair.Server.Abort();
        pair.Server.Dispose();
        Assert.Equal(TransportStatus.Reset, (await sending).Status);
        Assert.Contains((await receiving).Status, new[] { TransportStatus.Closed, TransportStatus.Truncated, TransportStatus.Reset });
    }
}
