using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using KvHandoff.Bench.Workers;
using KvHandoff.Memory;

namespace KvHandoff.Bench.Limits;

/// <summary>
/// What a bare TCP connection between two processes on this machine gives: plain blocking sends and receives of 1 MiB, walking through
/// buffers larger than the caches, as a cache transfer does.
/// </summary>
internal static class TcpLoopbackLimit
{
    internal const int MessageBytes = 1 << 20, BufferBytes = 256 << 20;

    private const int BytesPerSample = 512 << 20, WarmUps = 1;

    /// <summary>Samples in GB/s, from the first send to the receiver's acknowledgement of the last byte.</summary>
    internal static async Task<double[]> MeasureAsync(int samples, CancellationToken cancellationToken)
    {
        await using WorkerProcess sink = WorkerProcess.Start("tcp-sink");
        OpenedReply opened = await sink.ExchangeAsync<OpenedReply>(new SinkRequest(BytesPerSample, samples + WarmUps), cancellationToken);
        return await Task.Run(() => Send(IPEndPoint.Parse(opened.Endpoint), samples), cancellationToken);
    }

    /// <summary>The receiving side, in the child process.</summary>
    internal static void Receive(Socket listener, SinkRequest request)
    {
        using NativeSlab buffer = NativeSlab.Allocate(BufferBytes);
        buffer.Fill(0x5A);
        using Socket connection = listener.Accept();
        connection.NoDelay = true;
        Span<byte> acknowledgement = [1];
        for (int sample = 0; sample < request.Samples; sample++)
        {
            for (long done = 0; done < request.BytesPerSample;)
            {
                long offset = done % BufferBytes;
                int step = (int)Math.Min(Math.Min(MessageBytes, BufferBytes - offset), request.BytesPerSample - done);
                int read = connection.Receive(buffer.Span(offset, step));
                if (read == 0) return;
                done += read;
            }

            connection.Send(acknowledgement);
        }
    }

    private static double[] Send(IPEndPoint endpoint, int samples)
    {
        using NativeSlab buffer = NativeSlab.Allocate(BufferBytes);
        MemoryLimits.FillWithNoise(buffer.Span(0, BufferBytes));
        using var connection = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        connection.Connect(endpoint);
        Span<byte> acknowledgement = stackalloc byte[1];
        var result = new double[samples];
        for (int sample = -WarmUps; sample < samples; sample++)
        {
            long start = Stopwatch.GetTimestamp();
            for (long done = 0; done < BytesPerSample;)
            {
                long offset = done % BufferBytes;
                int step = (int)Math.Min(Math.Min(MessageBytes, BufferBytes - offset), BytesPerSample - done);
                done += connection.Send(buffer.Span(offset, step));
            }

            if (connection.Receive(acknowledgement) != 1) throw new IOException("The receiving process closed the connection before it acknowledged the last byte.");
            if (sample >= 0) result[sample] = BytesPerSample / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
        }

        return result;
    }
}
