using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Long ranges leave from where they lie and land where they are to be: no byte out of its place, and no touch after a call has returned.</summary>
public sealed class UcxStreamTests
{
    private const int Length = 12 << 20;
    private static readonly ITransport Transport = UcxTransport.Instance;

    [UcxTheory]
    [InlineData(UcxRows.Tcp, 1, 0)]
    [InlineData(UcxRows.Tcp, 2, 0)]
    [InlineData(UcxRows.Tcp, 3, 16 << 10)]
    [InlineData(UcxRows.SharedMemory, 4, 0)]
    public async Task Ranges_of_every_size_arrive_in_ranges_of_others(string transports, int seed, int window)
    {
        TransportOptions options = UcxRows.Over(transports) with { ReceiveBufferBytes = window };
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, UcxRows.Anywhere, options);
        using NativeSlab source = NativeSlab.Allocate(Length), target = NativeSlab.Allocate(Length);
        var random = new Random(seed);
        random.NextBytes(source.Span(0, Length));
        // Around the size from which a range is not copied, thousands of tiny ones, and some longer than any message.
        IoRange[] from = Cut(source, random), to = Cut(target, random);
        Task<TransportResult> receiving = Blocking.Run(() => Calls(to, 90, pair.Server.ReceiveVectors));
        Assert.Equal(TransportResult.Ok, await Blocking.Run(() => Calls(from, 70, pair.Client.SendVectors)));
        Assert.Equal(TransportResult.Ok, await receiving);
        Assert.True(source.Span(0, Length).SequenceEqual(target.Span(0, Length)));
        Assert.Equal(Length, pair.Server.Counters.BytesReceived);
        Assert.Equal(Length, pair.Client.Counters.BytesSent);
    }

    [UcxTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_a_sender_gave_is_its_own_again_when_the_call_has_returned(bool peerGivesUp)
    {
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp));
        using NativeSlab source = NativeSlab.Allocate(Length), target = NativeSlab.Allocate(Length);
        source.Span(0, Length).Fill(1);
        IoRange[] all = [new(source.Address, Length)];
        Task<TransportResult> sending = Blocking.Run(() => pair.Client.SendVectors(all));
        // More than the window: the call is still inside, with messages under way.
        await Task.Delay(100);
        Assert.False(sending.IsCompleted);
        Task<TransportResult> receiving = Blocking.Run(() =>
        {
            TransportResult got = default;
            for (int at = 0; at < Length && got.IsOk; at += 64 << 10)
            {
                if (at == 4 << 20) (peerGivesUp ? pair.Server : pair.Client).Abort();
                got = pair.Server.Receive(target.Span(at, 64 << 10));
            }

            return got;
        });
        Assert.Equal(peerGivesUp ? TransportStatus.Reset : TransportStatus.Aborted, (await sending).Status);
        // Whatever UCX still read from here would arrive as twos.
        source.Span(0, Length).Fill(2);
        Assert.False((await receiving).IsOk);
        Assert.Equal(-1, target.Span(0, Length).IndexOf((byte)2));
    }

    [UcxFact]
    public async Task What_a_receiver_gave_is_its_own_again_when_the_call_has_returned()
    {
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp));
        using NativeSlab target = NativeSlab.Allocate(1 << 20);
        target.Span(0, 1 << 20).Clear();
        IoRange[] all = [new(target.Address, 1 << 20)];
        Task<TransportResult> receiving = Blocking.Run(() => pair.Server.ReceiveVectors(all));
        byte[] half = new byte[1 << 19];
        half.AsSpan().Fill(1);
        Assert.True((await Blocking.Run(() => pair.Client.Send(half))).IsOk);
        while (pair.Server.Counters.BytesReceived < half.Length) await Task.Delay(5);
        pair.Server.Abort();
        Assert.Equal(TransportStatus.Aborted, (await receiving).Status);
        _ = await Blocking.Run(() => pair.Client.Send(half));
        await Task.Delay(100);
        Assert.True(target.Span(0, half.Length).IndexOfAnyExcept((byte)1) < 0);
        Assert.True(target.Span(half.Length, half.Length).IndexOfAnyExcept((byte)0) < 0);
    }

    private delegate TransportResult Call(Span<IoRange> ranges);

    private static TransportResult Calls(IoRange[] ranges, int most, Call call)
    {
        TransportResult done = default;
        for (int at = 0; at < ranges.Length && done.IsOk; at += most) done = call(ranges.AsSpan(at, Math.Min(most, ranges.Length - at)));
        return done;
    }

    private static IoRange[] Cut(NativeSlab slab, Random random)
    {
        int[] sizes = [1, 7, 300, 8191, 8192, 8193, 16 << 10, 57344, 57345, 256 << 10, 900_000];
        var ranges = new List<IoRange>();
        for (int at = 0; at < Length;)
        {
            int length = Math.Min(sizes[random.Next(sizes.Length)], Length - at);
            ranges.Add(new IoRange(slab.Address + at, length));
            at += length;
        }

        return [.. ranges];
    }
}
