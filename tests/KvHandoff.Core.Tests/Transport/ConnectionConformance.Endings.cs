using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public abstract partial class ConnectionConformance
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_end_between_messages_is_Closed(bool byDisposal)
    {
        await using ConnectionPair pair = await OpenAsync();
        Assert.True(pair.Client.Send(new byte[100]).IsOk);
        if (byDisposal) pair.Client.Dispose();
        else Assert.True(pair.Client.CompleteSend().IsOk);

        Assert.Equal(TransportResult.Ok, await Blocking.Run(() => pair.Server.Receive(new byte[100])));
        Assert.Equal(TransportStatus.Closed, (await Blocking.Run(() => pair.Server.Receive(new byte[100]))).Status);
        Assert.Equal(TransportStatus.Closed, (await pair.Server.ReceiveAsync(new byte[1], default)).Status);
    }

    [Fact]
    public async Task A_half_closed_connection_still_receives()
    {
        await using ConnectionPair pair = await OpenAsync();
        Assert.True(pair.Client.CompleteSend().IsOk);
        Assert.True(pair.Server.Send(new byte[] { 7 }).IsOk);
        byte[] got = new byte[1];
        Assert.True((await Blocking.Run(() => pair.Client.Receive(got))).IsOk);
        Assert.Equal(7, got[0]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_end_inside_a_message_is_Truncated_and_names_both_counts(bool asynchronous)
    {
        await using ConnectionPair pair = await OpenAsync();
        Assert.True(pair.Client.Send(new byte[37]).IsOk);
        pair.Client.Dispose();

        byte[] message = new byte[100];
        TransportResult result = asynchronous
            ? await pair.Server.ReceiveAsync(message, default).AsTask().WaitAsync(Blocking.Limit)
            : await Blocking.Run(() => pair.Server.Receive(message));
        Assert.Equal(TransportStatus.Truncated, result.Status);
        Assert.Contains("37 of 100", result.Message);
    }

    [Fact]
    public async Task Sending_to_a_peer_that_left_is_Reset()
    {
        await using ConnectionPair pair = await OpenAsync();
        pair.Server.Dispose();
        byte[] bytes = new byte[1 << 20];
        TransportResult result = await Blocking.Run(() =>
        {
            TransportResult sent = TransportResult.Ok;
            for (int i = 0; i < 100 && sent.IsOk; i++) sent = pair.Client.Send(bytes);
            return sent;
        });
        Assert.Equal(TransportStatus.Reset, result.Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Abort_wakes_a_blocked_receive_and_a_blocked_send(bool dispose)
    {
        await using ConnectionPair pair = await OpenAsync();
        byte[] much = new byte[64 << 20], sink = new byte[100];
        Task<TransportResult> receiving = Blocking.Run(() => pair.Client.Receive(sink));
        Task<TransportResult> sending = Blocking.Run(() => pair.Client.Send(much));
        await Task.Delay(200); // both are in the kernel by now; were they not, they would still have to end as Aborted
        Assert.False(receiving.IsCompleted);
        Assert.False(sending.IsCompleted);

        if (dispose) pair.Client.Dispose();
        else pair.Client.Abort();

        Assert.Equal(TransportStatus.Aborted, (await receiving).Status);
        Assert.Equal(TransportStatus.Aborted, (await sending).Status);
        Assert.Equal(TransportStatus.Aborted, pair.Client.Receive(sink).Status);
        Assert.Equal(TransportStatus.Aborted, pair.Client.Send(sink).Status);
        Assert.Equal(TransportStatus.Aborted, pair.Client.SendVectors(new IoRange[1]).Status);
        Assert.Equal(TransportStatus.Aborted, pair.Client.ReceiveVectors(new IoRange[1]).Status);
        Assert.Equal(TransportStatus.Aborted, pair.Client.CompleteSend().Status);
        Assert.Equal(TransportStatus.Aborted, (await pair.Client.ReceiveAsync(sink, default)).Status);
        Assert.Equal(TransportStatus.Aborted, (await pair.Client.SendAsync(sink, default)).Status);
        pair.Client.Abort();
        pair.Client.Dispose();
    }

    [Fact]
    public async Task Abort_wakes_asynchronous_calls()
    {
        await using ConnectionPair pair = await OpenAsync();
        Task<TransportResult> receiving = pair.Client.ReceiveAsync(new byte[100], default).AsTask();
        Task<TransportResult> sending = pair.Client.SendAsync(new byte[64 << 20], default).AsTask();
        pair.Client.Abort();
        Assert.Equal(TransportStatus.Aborted, (await receiving.WaitAsync(Blocking.Limit)).Status);
        Assert.Equal(TransportStatus.Aborted, (await sending.WaitAsync(Blocking.Limit)).Status);
    }

    [Fact]
    public async Task A_peer_that_sends_nothing_is_given_up_by_cancellation()
    {
        await using ConnectionPair pair = await OpenAsync();
        Assert.True(pair.Client.Send(new byte[5]).IsOk);
        using CancellationTokenSource deadline = new(TimeSpan.FromMilliseconds(50));
        TransportResult result = await pair.Server.ReceiveAsync(new byte[16], deadline.Token).AsTask().WaitAsync(Blocking.Limit);
        Assert.Equal(TransportStatus.Aborted, result.Status);
        Assert.Contains("5 of 16", result.Message);
    }

    [Fact]
    public async Task Aborts_race_transfers_without_harm()
    {
        for (int round = 0; round < 50; round++)
        {
            await using ConnectionPair pair = await OpenAsync();
            byte[] bytes = new byte[1 << 16], sink = new byte[1 << 16];
            Task<TransportResult> sending = Blocking.Run(() => Repeat(() => pair.Client.Send(bytes)));
            Task<TransportResult> receiving = Blocking.Run(() => Repeat(() => pair.Server.Receive(sink)));
            Thread.SpinWait(round * 200);
            if (round % 2 == 0) pair.Client.Dispose();
            else pair.Client.Abort();
            Assert.Equal(TransportStatus.Aborted, (await sending).Status);
            Assert.Contains((await receiving).Status, new[] { TransportStatus.Closed, TransportStatus.Truncated, TransportStatus.Reset });
        }
    }

    private static TransportResult Repeat(Func<TransportResult> call)
    {
        while (true)
            if (call() is { IsOk: false } end) return end;
    }
}
