using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>What every transport has to do; a transport's test class derives from it and says where to listen.</summary>
public abstract partial class ConnectionConformance
{
    protected abstract ITransport Transport { get; }

    protected abstract TransportEndpoint AnyEndpoint { get; }

    protected virtual TransportOptions Options => TransportOptions.Default;

    private Task<ConnectionPair> OpenAsync() => ConnectionPair.OpenAsync(Transport, AnyEndpoint, Options);

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(4097, 1, 4097)]
    [InlineData(4097, 4097, 13)]
    [InlineData(1 << 20, 4096, 65_537)]
    [InlineData(8 << 20, 8 << 20, 1 << 20)]
    [InlineData(8 << 20, 999_983, 8 << 20)]
    public async Task Bytes_arrive_whatever_the_pieces(int total, int sendPiece, int receivePiece)
    {
        await using ConnectionPair pair = await OpenAsync();
        byte[] sent = RandomBytes(total, 1), received = new byte[total];
        Task<TransportResult> sending = Blocking.Run(() => InPieces(total, sendPiece, (at, n) => pair.Client.Send(sent.AsSpan(at, n))));
        TransportResult result = await Blocking.Run(() => InPieces(total, receivePiece, (at, n) => pair.Server.Receive(received.AsSpan(at, n))));

        Assert.Equal(TransportResult.Ok, result);
        Assert.Equal(TransportResult.Ok, await sending);
        Assert.True(sent.AsSpan().SequenceEqual(received));
        Assert.Equal(total, pair.Client.Counters.BytesSent);
        Assert.Equal(total, pair.Server.Counters.BytesReceived);
        Assert.Equal(0, pair.Client.Counters.BytesReceived);
        Assert.True(pair.Server.Counters.Calls > 0);
    }

    [Theory]
    [InlineData(1, 1 << 20)]
    [InlineData(32, 32 << 10)]
    [InlineData(1024, 4096)]
    [InlineData(1025, 1000)]
    [InlineData(5000, 7)]
    public async Task Ranges_are_sent_and_filled_in_order(int rangeCount, int largestRange)
    {
        await using ConnectionPair pair = await OpenAsync();
        Random random = new(rangeCount);
        int[] sendLengths = Lengths(random, rangeCount, largestRange);
        int total = sendLengths.Sum();
        int[] receiveLengths = Resplit(random, total, largestRange);
        using NativeSlab source = NativeSlab.Allocate(total + 1), target = NativeSlab.Allocate(total + 1);
        random.NextBytes(source.Span(0, total));

        Task<TransportResult> sending = Blocking.Run(() => pair.Client.SendVectors(Ranges(source, sendLengths)));
        // The ranges are laid into the slab back to front: the order of the span counts, not that of the addresses.
        TransportResult result = await Blocking.Run(() => pair.Server.ReceiveVectors(Ranges(target, receiveLengths, backwards: true)));

        Assert.Equal(TransportResult.Ok, result);
        Assert.Equal(TransportResult.Ok, await sending);
        int at = 0, end = total;
        foreach (int length in receiveLengths)
        {
            end -= length;
            Assert.True(source.Span(at, length).SequenceEqual(target.Span(end, length)), $"range at {at}");
            at += length;
        }
        Assert.Equal(total, pair.Server.Counters.BytesReceived);
        Assert.Equal(total, pair.Client.Counters.BytesSent);
    }

    [Fact]
    public async Task Nothing_to_move_is_Ok_and_makes_no_call()
    {
        await using ConnectionPair pair = await OpenAsync();
        IoRange[] empty = new IoRange[3000];
        Assert.True(pair.Client.Receive([]).IsOk);
        Assert.True(pair.Client.Send([]).IsOk);
        Assert.True(pair.Client.ReceiveVectors([]).IsOk);
        Assert.True(pair.Client.ReceiveVectors(empty).IsOk);
        Assert.True(pair.Client.SendVectors(empty).IsOk);
        Assert.Equal(0, pair.Client.Counters.Calls);
    }

    [Fact]
    public async Task Both_directions_run_at_once()
    {
        const int Total = 16 << 20;
        await using ConnectionPair pair = await OpenAsync();
        byte[] up = RandomBytes(Total, 2), down = RandomBytes(Total, 3), gotUp = new byte[Total], gotDown = new byte[Total];
        TransportResult[] results = await Task.WhenAll(
            Blocking.Run(() => pair.Client.Send(up)), Blocking.Run(() => pair.Server.Send(down)),
            Blocking.Run(() => pair.Server.Receive(gotUp)), Blocking.Run(() => pair.Client.Receive(gotDown)));

        Assert.All(results, r => Assert.Equal(TransportResult.Ok, r));
        Assert.True(up.AsSpan().SequenceEqual(gotUp));
        Assert.True(down.AsSpan().SequenceEqual(gotDown));
    }

    [Fact]
    public async Task A_raw_preface_is_followed_by_blocking_calls()
    {
        await using ConnectionPair pair = await OpenAsync();
        byte[] hello = RandomBytes(64, 4), got = new byte[64];
        Task<TransportResult> receiving = pair.Server.ReceiveAsync(got, default).AsTask();
        Assert.True((await pair.Client.SendAsync(hello.AsMemory(0, 10), default)).IsOk);
        Assert.False(receiving.IsCompleted);
        Assert.True((await pair.Client.SendAsync(hello.AsMemory(10), default)).IsOk);
        Assert.Equal(TransportResult.Ok, await receiving.WaitAsync(Blocking.Limit));
        Assert.Equal(hello, got);

        byte[] payload = RandomBytes(3 << 20, 5), landed = new byte[payload.Length];
        Task<TransportResult> sending = Blocking.Run(() => pair.Client.Send(payload));
        Assert.Equal(TransportResult.Ok, await Blocking.Run(() => pair.Server.Receive(landed)));
        Assert.Equal(TransportResult.Ok, await sending);
        Assert.True(payload.AsSpan().SequenceEqual(landed));
    }

    [Fact]
    public async Task An_asynchronous_send_waits_for_room()
    {
        const int Total = 32 << 20;
        await using ConnectionPair pair = await OpenAsync();
        byte[] bytes = RandomBytes(Total, 6), got = new byte[Total];
        Task<TransportResult> sending = pair.Client.SendAsync(bytes, default).AsTask();
        Assert.False(sending.IsCompleted);
        Assert.True((await pair.Server.ReceiveAsync(got, default).AsTask().WaitAsync(Blocking.Limit)).IsOk);
        Assert.True((await sending.WaitAsync(Blocking.Limit)).IsOk);
        Assert.True(bytes.AsSpan().SequenceEqual(got));
    }

    [Fact]
    public async Task A_transfer_allocates_nothing()
    {
        await using ConnectionPair pair = await OpenAsync();
        using NativeSlab slab = NativeSlab.Allocate(8192);
        long allocated = await Blocking.Run(() =>
        {
            IoRange[] ranges = new IoRange[2];
            byte[] bytes = new byte[512];
            long before = 0;
            for (int round = 0; round < 300; round++)
            {
                if (round == 100) before = GC.GetAllocatedBytesForCurrentThread();
                ranges[0] = new IoRange(slab.Address, 4096);
                ranges[1] = new IoRange(slab.Address + 4096, 4096);
                if (!pair.Client.SendVectors(ranges).IsOk || !pair.Client.Send(bytes).IsOk) return -1;
                ranges[0] = new IoRange(slab.Address, 4096);
                ranges[1] = new IoRange(slab.Address + 4096, 4096);
                if (!pair.Server.ReceiveVectors(ranges).IsOk || !pair.Server.Receive(bytes).IsOk) return -1;
            }
            return GC.GetAllocatedBytesForCurrentThread() - before;
        });
        Assert.Equal(0, allocated);
    }

    private static byte[] RandomBytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static TransportResult InPieces(int total, int piece, Func<int, int, TransportResult> move)
    {
        for (int at = 0; at < total; at += piece)
        {
            TransportResult result = move(at, Math.Min(piece, total - at));
            if (!result.IsOk) return result;
        }
        return TransportResult.Ok;
    }

    private static int[] Lengths(Random random, int count, int largest)
    {
        int[] lengths = new int[count];
        for (int i = 0; i < count; i++) lengths[i] = i == 0 ? largest : i % 3 == 1 ? 0 : random.Next(largest + 1);
        return lengths;
    }

    private static int[] Resplit(Random random, int total, int largest)
    {
        List<int> lengths = [0];
        while (total > 0)
        {
            int length = Math.Min(total, random.Next(largest + 1));
            lengths.Add(length);
            total -= length;
        }
        lengths.Add(0);
        return [.. lengths];
    }

    private static IoRange[] Ranges(NativeSlab slab, int[] lengths, bool backwards = false)
    {
        IoRange[] ranges = new IoRange[lengths.Length];
        nint at = backwards ? lengths.Sum() : 0;
        for (int i = 0; i < lengths.Length; i++)
        {
            if (backwards) at -= lengths[i];
            ranges[i] = new IoRange(slab.Address + at, lengths[i]);
            if (!backwards) at += lengths[i];
        }
        return ranges;
    }
}
