using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using KvHandoff.Bench.Workers;
using KvHandoff.Memory;

namespace KvHandoff.Bench.Limits;

/// <summary>
/// Plain blocking sends and receives of 1 MiB in C#, from this process to a child: a socket, with an <see cref="SslStream"/> over it for tls.
/// </summary>
internal sealed class ManagedLoop : BareLoop
{
    private readonly WorkerProcess _sink;
    private readonly Stream _stream;
    private readonly NativeSlab _buffer;
    private readonly string _transport;

    private ManagedLoop(WorkerProcess sink, Stream stream, string transport)
    {
        _sink = sink;
        _stream = stream;
        _transport = transport;
        _buffer = NativeSlab.Allocate(BufferBytes);
        MemoryLimits.FillWithNoise(_buffer.Span(0, BufferBytes));
    }

    internal override string Name => _transport == WorkerTransport.Tls ? "SslStream loop" : $"C# loop over {_transport}";

    internal static async Task<ManagedLoop> StartAsync(string transport, CancellationToken cancellationToken)
    {
        string? certificate = WorkerTransport.NewCertificate(transport);
        WorkerProcess sink = WorkerProcess.Start("sink");
        try
        {
            OpenedReply opened = await sink.ExchangeAsync<OpenedReply>(new SinkRequest(transport, certificate), cancellationToken);
            return new ManagedLoop(sink, await ConnectAsync(transport, opened.Endpoint, cancellationToken), transport);
        }
        catch
        {
            await sink.DisposeAsync();
            throw;
        }
    }

    internal override Task<double> SecondsAsync(long bytes, CancellationToken cancellationToken) => Task.Run(() =>
    {
        long start = Stopwatch.GetTimestamp();
        Span<byte> length = stackalloc byte[sizeof(long)], acknowledgement = stackalloc byte[1];
        BinaryPrimitives.WriteInt64LittleEndian(length, bytes);
        _stream.Write(length);
        for (long done = 0; done < bytes;)
        {
            long offset = done % BufferBytes;
            int step = (int)Math.Min(MessageBytes - offset % MessageBytes, bytes - done);
            _stream.Write(_buffer.Span(offset, step));
            done += step;
        }

        _stream.Flush();
        if (_stream.Read(acknowledgement) != 1) throw new IOException("The receiving process closed the connection before it acknowledged the last byte.");
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }, cancellationToken);

    public override async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        await _sink.DisposeAsync();
        _buffer.Dispose();
    }

    /// <summary>The receiving side, in the child process: serves one connection to its end.</summary>
    internal static void Receive(SinkRequest request, Action<WorkerMessage> reply)
    {
        using Socket listener = NewSocket(request.Transport);
        string name = WorkerTransport.NewName();
        listener.Bind(request.Transport == WorkerTransport.Unix ? AbstractName(name) : new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(1);
        using NativeSlab buffer = NativeSlab.Allocate(BufferBytes);
        buffer.Fill(0x5A);
        reply(new OpenedReply(request.Transport == WorkerTransport.Unix ? name : listener.LocalEndPoint!.ToString()!));
        using Stream stream = Accept(listener, request);
        Span<byte> length = stackalloc byte[sizeof(long)];
        while (stream.ReadAtLeast(length, length.Length, throwOnEndOfStream: false) == length.Length)
        {
            long bytes = BinaryPrimitives.ReadInt64LittleEndian(length);
            for (long done = 0; done < bytes;)
            {
                long offset = done % BufferBytes;
                int read = stream.Read(buffer.Span(offset, (int)Math.Min(MessageBytes - offset % MessageBytes, bytes - done)));
                if (read == 0) return;
                done += read;
            }

            stream.Write([1]);
            stream.Flush();
        }
    }

    private static async Task<Stream> ConnectAsync(string transport, string endpoint, CancellationToken cancellationToken)
    {
        Socket socket = NewSocket(transport);
        await socket.ConnectAsync(transport == WorkerTransport.Unix ? AbstractName(endpoint) : IPEndPoint.Parse(endpoint), cancellationToken);
        var plain = new NetworkStream(socket, ownsSocket: true);
        if (transport != WorkerTransport.Tls) return plain;
        // This loop is a yardstick, not a connection to anybody: who answers is not judged.
        var secure = new SslStream(plain, leaveInnerStreamOpen: false, (_, _, _, _) => true);
        await secure.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "kvhandoff-bench", EnabledSslProtocols = SslProtocols.Tls13 }, cancellationToken);
        return secure;
    }

    private static Stream Accept(Socket listener, SinkRequest request)
    {
        Socket socket = listener.Accept();
        if (request.Transport != WorkerTransport.Unix) socket.NoDelay = true;
        var plain = new NetworkStream(socket, ownsSocket: true);
        if (request.Certificate is not { } certificate) return plain;
        var secure = new SslStream(plain);
        secure.AuthenticateAsServer(new SslServerAuthenticationOptions { ServerCertificate = WorkerTransport.Load(certificate), EnabledSslProtocols = SslProtocols.Tls13 });
        return secure;
    }

    private static Socket NewSocket(string transport) => transport == WorkerTransport.Unix
        ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        : new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    private static UnixDomainSocketEndPoint AbstractName(string name) => new("\0" + name);
}
