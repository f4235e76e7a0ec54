using System.Buffers;
using System.IO.Pipelines;
using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>A plan without faults changes nothing.</summary>
public sealed class FaultFreeConformanceTests : ConnectionConformance
{
    protected override ITransport Transport { get; } = new FaultTransport(LoopbackTransport.Instance, new FaultPlan(sides: FaultSides.Both));

    protected override TransportEndpoint AnyEndpoint => new("fault+loopback", Guid.NewGuid().ToString("N"), 0);
}

public sealed class FaultTransportTests
{
    private const int MessageBytes = 100;

    [Theory]
    [InlineData(FaultKind.Drop, new[] { 0, 2, 3 })]
    [InlineData(FaultKind.Duplicate, new[] { 0, 1, 1, 2, 3 })]
    [InlineData(FaultKind.Reorder, new[] { 0, 2, 1, 3 })]
    [InlineData(FaultKind.DisconnectAfter, new[] { 0, 1 })]
    [InlineData(FaultKind.Truncate, new[] { 0 })]
    public async Task A_fault_changes_which_messages_arrive(FaultKind kind, int[] arrive)
    {
        foreach (Sending by in Enum.GetValues<Sending>())
        {
            FaultPlan plan = Scripted(kind, at: 33);
            await using ConnectionPair pair = await OpenAsync(plan);
            byte[] got = await SendFourAsync(pair, by);
            byte[] expected = [.. arrive.SelectMany(Message), .. kind == FaultKind.Truncate ? Message(1)[..33] : []];
            Assert.True(expected.AsSpan().SequenceEqual(got), $"{kind} by {by}: {got.Length} bytes");
            FaultEvent happened = Assert.Single(plan.Events);
            Assert.Equal(new FaultEvent(FaultSides.Connecting, 0, 1, kind, MessageBytes, kind == FaultKind.Truncate ? 33 : 0), happened);
        }
    }

    [Fact]
    public async Task A_flip_inverts_the_bit_that_it_says_in_a_copy()
    {
        foreach (Sending by in Enum.GetValues<Sending>())
        {
            FaultPlan plan = Scripted(FaultKind.Flip, at: 333);
            await using ConnectionPair pair = await OpenAsync(plan);
            byte[] got = await SendFourAsync(pair, by);
            byte[] expected = [.. Enumerable.Range(0, 4).SelectMany(Message)];
            expected[MessageBytes + 333 / 8] ^= 1 << (333 % 8);
            Assert.True(expected.AsSpan().SequenceEqual(got), $"by {by}");
            Assert.Equal(333, Assert.Single(plan.Events).At);
        }
    }

    [Fact]
    public async Task The_memory_that_is_sent_from_stays_as_it_was()
    {
        FaultPlan plan = new FaultPlan(1).WithRate(FaultKind.Flip, 1);
        await using ConnectionPair pair = await OpenAsync(plan);
        using NativeSlab slab = NativeSlab.Allocate(1000);
        new Random(1).NextBytes(slab.Span(0, 1000));
        byte[] before = slab.Span(0, 1000).ToArray();
        Assert.True(pair.Client.SendVectors([new IoRange(slab.Address, 400), default, new IoRange(slab.Address + 400, 600)]).IsOk);
        byte[] got = new byte[1000];
        Assert.True(pair.Server.Receive(got).IsOk);
        Assert.True(before.AsSpan().SequenceEqual(slab.Span(0, 1000)));
        FaultEvent flip = Assert.Single(plan.Events);
        before[flip.At / 8] ^= (byte)(1 << (int)(flip.At % 8));
        Assert.Equal(before, got);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_disconnect_before_a_message_breaks_both_directions(bool pipe)
    {
        FaultPlan plan = Scripted(FaultKind.DisconnectBefore);
        await using ConnectionPair pair = await OpenAsync(plan);
        Assert.True((await pair.Client.SendAsync(Message(0), default)).IsOk);
        if (pipe)
        {
            TransportException e = await Assert.ThrowsAsync<TransportException>(() => pair.Client.AsPipe().Output.WriteAsync(Message(1)).AsTask());
            Assert.Equal(TransportStatus.Reset, e.Status);
        }
        else
        {
            Assert.Equal(TransportStatus.Reset, pair.Client.Send(Message(1)).Status);
            Assert.Equal(TransportStatus.Reset, pair.Client.Send(Message(2)).Status);
            Assert.Equal(TransportStatus.Aborted, pair.Client.Receive(new byte[1]).Status);
        }
        Assert.Equal(TransportStatus.Reset, pair.Server.Receive(new byte[1000]).Status);
        Assert.Single(plan.Events);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stall_waits_for_the_gate_or_for_an_abort(bool open)
    {
        FaultPlan plan = Scripted(FaultKind.Stall);
        await using ConnectionPair pair = await OpenAsync(plan);
        Assert.True(pair.Client.Send(Message(0)).IsOk);
        Task<TransportResult> sending = Blocking.Run(() => pair.Client.Send(Message(1)));
        using CancellationTokenSource limit = new(Blocking.Limit);
        while (plan.Gate.Waiting == 0) await Task.Delay(1, limit.Token);
        Assert.True(pair.Server.Receive(new byte[MessageBytes]).IsOk);
        Task<TransportResult> receiving = Blocking.Run(() => pair.Server.Receive(new byte[MessageBytes]));
        Assert.False(sending.IsCompleted);
        Assert.False(receiving.IsCompleted);
        if (open) plan.Gate.Open();
        else pair.Client.Abort();
        Assert.Equal(open ? TransportStatus.Ok : TransportStatus.Aborted, (await sending).Status);
        Assert.Equal(open ? TransportStatus.Ok : TransportStatus.Reset, (await receiving).Status);
    }

    [Fact]
    public async Task Equal_seeds_give_equal_faults_and_others_do_not()
    {
        FaultEvent[] first = await RunAsync(7), again = await RunAsync(7), other = await RunAsync(8);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
        // 2 connections x 400 messages at 0.1 each kind.
        foreach (FaultKind kind in new[] { FaultKind.Drop, FaultKind.Duplicate, FaultKind.Reorder, FaultKind.Flip })
            Assert.InRange(first.Count(e => e.Kind == kind), 40, 130);
        Assert.DoesNotContain(first, e => e.Message == 0);
        Assert.NotEqual(first.Where(e => e.Connection == 0).Select(e => e.Message), first.Where(e => e.Connection == 1).Select(e => e.Message));

        static async Task<FaultEvent[]> RunAsync(ulong seed)
        {
            FaultPlan plan = new FaultPlan(seed) { FirstMessage = 1 }
                .WithRate(FaultKind.Drop, 0.1).WithRate(FaultKind.Duplicate, 0.1).WithRate(FaultKind.Reorder, 0.1).WithRate(FaultKind.Flip, 0.1);
            FaultTransport transport = new(LoopbackTransport.Instance, plan);
            await using ITransportListener listener = await transport.ListenAsync(Any(transport), TransportOptions.Default, default);
            for (int c = 0; c < 2; c++)
            {
                using IConnection client = await transport.ConnectAsync(listener.Endpoint, TransportOptions.Default, default);
                using IConnection server = (await listener.AcceptAsync(default))!;
                for (int i = 0; i < 400; i++) Assert.True(client.Send(new byte[8]).IsOk);
            }
            return [.. plan.Events];
        }
    }

    [Fact]
    public async Task Sides_number_their_connections_apart()
    {
        FaultPlan plan = new FaultPlan(sides: FaultSides.Accepting).With(new ScriptedFault(FaultSides.Accepting, 1, 0, FaultKind.Drop));
        FaultTransport transport = new(LoopbackTransport.Instance, plan);
        await using ITransportListener listener = await transport.ListenAsync(Any(transport), TransportOptions.Default, default);
        for (int c = 0; c < 3; c++)
        {
            using IConnection client = await transport.ConnectAsync(listener.Endpoint, TransportOptions.Default, default);
            using IConnection server = (await listener.AcceptAsync(default))!;
            Assert.True(client.Send(Message(1)).IsOk);
            Assert.True(server.Send(Message(2)).IsOk);
            server.Dispose();
            Assert.Equal(c == 1 ? TransportStatus.Closed : TransportStatus.Ok, client.Receive(new byte[MessageBytes]).Status);
        }
        Assert.Equal(1, Assert.Single(plan.Events).Connection);
    }

    [Fact]
    public void A_plan_says_what_is_wrong_with_it()
    {
        FaultPlan plan = new FaultPlan().WithRate(FaultKind.Drop, 0.6).WithRate(FaultKind.Flip, 0.4);
        Assert.Contains("1.2", Assert.Throws<ArgumentOutOfRangeException>(() => plan.WithRate(FaultKind.Stall, 0.2)).Message);
        Assert.Contains("-1", Assert.Throws<ArgumentOutOfRangeException>(() => plan.WithRate(FaultKind.Stall, -1)).Message);
        plan.WithRate(FaultKind.Drop, 0.1).WithRate(FaultKind.Stall, 0.5);
        plan.With(new ScriptedFault(FaultSides.Connecting, 0, 0, FaultKind.Drop));
        Assert.Throws<ArgumentException>(() => plan.With(new ScriptedFault(FaultSides.Connecting, 0, 0, FaultKind.Flip)));
        Assert.Throws<ArgumentException>(() => plan.With(new ScriptedFault(FaultSides.Accepting, 0, 0, FaultKind.Flip)));
    }

    [Fact]
    public async Task Faults_travel_over_real_sockets_and_tls()
    {
        foreach ((ITransport inner, TransportEndpoint at) in new (ITransport, TransportEndpoint)[]
        {
            (TcpTransport.Instance, new("fault+tcp", "127.0.0.1", 0)), (TlsTransport.Instance, new("fault+tls", "127.0.0.1", 0)),
            (UnixSocketTransport.Instance, new("fault+unix", $"@kv-fault-{Guid.NewGuid():N}", 0)),
        })
        {
            FaultPlan plan = Scripted(FaultKind.Truncate, at: 33);
            await using ConnectionPair pair = await ConnectionPair.OpenAsync(new FaultTransport(inner, plan), at, TestCertificates.Mutual);
            Assert.True(pair.Client.Send(Message(0)).IsOk);
            Assert.Equal(TransportStatus.Reset, pair.Client.Send(Message(1)).Status);
            byte[] got = new byte[MessageBytes];
            Assert.True(pair.Server.Receive(got).IsOk);
            Assert.Equal(Message(0), got);
            TransportResult end = await Blocking.Run(() => pair.Server.Receive(got));
            Assert.Equal(TransportStatus.Truncated, end.Status);
            Assert.Contains("33 of 100", end.Message);
        }
    }

    private static FaultPlan Scripted(FaultKind kind, long at = -1) => new FaultPlan().With(new ScriptedFault(FaultSides.Connecting, 0, 1, kind, at));

    private static TransportEndpoint Any(FaultTransport transport) => new(transport.Name, Guid.NewGuid().ToString("N"), 0);

    private static Task<ConnectionPair> OpenAsync(FaultPlan plan)
    {
        FaultTransport transport = new(LoopbackTransport.Instance, plan);
        return ConnectionPair.OpenAsync(transport, Any(transport));
    }

    private static byte[] Message(int number) => [.. Enumerable.Range(0, MessageBytes).Select(i => (byte)(number * 50 + i % 50))];

    private enum Sending { Blocking, Vectors, Async, Pipe }

    private static async Task<byte[]> SendFourAsync(ConnectionPair pair, Sending by)
    {
        PipeWriter? output = by == Sending.Pipe ? pair.Client.AsPipe().Output : null;
        using NativeSlab slab = NativeSlab.Allocate(MessageBytes);
        for (int i = 0; i < 4; i++)
        {
            switch (by)
            {
                case Sending.Blocking:
                    pair.Client.Send(Message(i));
                    break;
                case Sending.Vectors:
                    Message(i).CopyTo(slab.Span(0, MessageBytes));
                    pair.Client.SendVectors([new IoRange(slab.Address, 60), new IoRange(slab.Address + 60, MessageBytes - 60)]);
                    break;
                case Sending.Async:
                    await pair.Client.SendAsync(Message(i), default);
                    break;
                default:
                    try
                    {
                        if (output is null) break;
                        output.Write(Message(i).AsSpan(0, 10));
                        output.Write(Message(i).AsSpan(10));
                        await output.FlushAsync();
                    }
                    catch (TransportException)
                    {
                    }
                    break;
            }
        }
        if (output is null) pair.Client.CompleteSend();
        else output.Complete();

        List<byte> got = [];
        byte[] one = new byte[1];
        while ((await pair.Server.ReceiveAsync(one, default).AsTask().WaitAsync(Blocking.Limit)).IsOk) got.Add(one[0]);
        return [.. got];
    }
}
