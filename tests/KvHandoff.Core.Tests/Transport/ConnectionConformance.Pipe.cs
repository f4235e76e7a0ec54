using System.Buffers;
using System.IO.Pipelines;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public abstract partial class ConnectionConformance
{
    [Fact]
    public async Task A_pipe_follows_a_raw_preface_and_carries_both_directions()
    {
        await using ConnectionPair pair = await OpenAsync();
        byte[] hello = RandomBytes(24, 1), got = new byte[24];
        IDuplexPipe client = pair.Client.AsPipe();
        Assert.Same(client, pair.Client.AsPipe());

        // The control bytes are right behind the preface, and none of them may be lost to it.
        byte[] up = RandomBytes(1 << 20, 2), down = RandomBytes(1 << 20, 3);
        await client.Output.WriteAsync(hello);
        Task writingUp = WriteAllAsync(client.Output, up);
        Assert.True((await pair.Server.ReceiveAsync(got, default)).IsOk);
        Assert.Equal(hello, got);

        IDuplexPipe server = pair.Server.AsPipe();
        Task writingDown = WriteAllAsync(server.Output, down);
        byte[][] read = await Task.WhenAll(ReadAllAsync(server.Input), ReadAllAsync(client.Input)).WaitAsync(Blocking.Limit);
        await Task.WhenAll(writingUp, writingDown);
        Assert.True(up.AsSpan().SequenceEqual(read[0]));
        Assert.True(down.AsSpan().SequenceEqual(read[1]));
        Assert.Equal(hello.Length + up.Length, pair.Client.Counters.BytesSent);
        Assert.Equal(hello.Length + up.Length, pair.Server.Counters.BytesReceived);
    }

    [Fact]
    public async Task A_pipe_that_nobody_reads_pauses_its_writer()
    {
        const int Piece = 32 << 10, Most = 512 << 20;
        await using ConnectionPair pair = await OpenAsync();
        _ = pair.Server.AsPipe();
        IDuplexPipe client = pair.Client.AsPipe();
        byte[] piece = new byte[Piece];
        bool paused = false;
        for (long sent = 0; sent < Most && !paused; sent += Piece)
        {
            Task flush = client.Output.WriteAsync(piece).AsTask();
            paused = await Task.WhenAny(flush, Task.Delay(1000)) != flush;
        }
        Assert.True(paused);
        // The input pipe holds its bound, and the one receive that crossed it.
        Assert.InRange(pair.Server.Counters.BytesReceived, 1, 128 << 10);
    }

    [Fact]
    public async Task Disposal_sends_a_completed_output_first()
    {
        await using ConnectionPair pair = await OpenAsync();
        byte[] last = RandomBytes(200_000, 4);
        IDuplexPipe client = pair.Client.AsPipe();
        Task<byte[]> reading = ReadAllAsync(pair.Server.AsPipe().Input);
        await client.Output.WriteAsync(last);
        client.Output.Complete();
        await pair.Client.DisposeAsync();
        byte[] read = await reading.WaitAsync(Blocking.Limit);
        Assert.True(last.AsSpan().SequenceEqual(read));
    }

    [Fact]
    public async Task Abort_ends_a_waiting_read_and_a_paused_flush()
    {
        await using ConnectionPair pair = await OpenAsync();
        IDuplexPipe client = pair.Client.AsPipe();
        Task<ReadResult> reading = client.Input.ReadAsync().AsTask();
        Task<FlushResult> flushing = client.Output.WriteAsync(new byte[64 << 20]).AsTask();
        await Task.Delay(100);
        pair.Client.Abort();
        Assert.Equal(TransportStatus.Aborted, (await EndOf(reading)).Status);
        Assert.Equal(TransportStatus.Aborted, (await EndOf(flushing)).Status);
    }

    [Fact]
    public async Task Completing_the_input_stops_receiving()
    {
        await using ConnectionPair pair = await OpenAsync();
        IDuplexPipe client = pair.Client.AsPipe();
        client.Input.Complete();
        await Task.Delay(100);
        Assert.True(pair.Server.Send(new byte[1000]).IsOk);
        await Task.Delay(100);
        Assert.Equal(0, pair.Client.Counters.BytesReceived);
        // The other direction goes on.
        await client.Output.WriteAsync(new byte[] { 9 });
        byte[] got = new byte[1];
        Assert.True((await pair.Server.ReceiveAsync(got, default)).IsOk);
        Assert.Equal(9, got[0]);
    }

    [Fact]
    public async Task An_output_completed_with_an_error_is_no_orderly_end()
    {
        await using ConnectionPair pair = await OpenAsync();
        pair.Client.AsPipe().Output.Complete(new InvalidOperationException("given up"));
        TransportResult end = await Blocking.Run(() =>
        {
            while (pair.Client.Receive(new byte[1]).Status != TransportStatus.Aborted) Thread.Yield();
            return pair.Client.Send(new byte[1]);
        });
        Assert.Equal(TransportStatus.Aborted, end.Status);
    }

    private static async Task<TransportException> EndOf<T>(Task<T> task) =>
        await Assert.ThrowsAsync<TransportException>(() => task.WaitAsync(Blocking.Limit));

    private static async Task WriteAllAsync(PipeWriter writer, byte[] bytes)
    {
        for (int at = 0; at < bytes.Length; at += 5000)
            await writer.WriteAsync(bytes.AsMemory(at, Math.Min(5000, bytes.Length - at)));
        await writer.CompleteAsync();
    }

    private static async Task<byte[]> ReadAllAsync(PipeReader reader)
    {
        List<byte> all = [];
        while (true)
        {
            ReadResult read = await reader.ReadAsync();
            all.AddRange(read.Buffer.ToArray());
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted) break;
        }
        await reader.CompleteAsync();
        return [.. all];
    }
}
