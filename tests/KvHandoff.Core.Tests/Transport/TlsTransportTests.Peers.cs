using System.Net;
using System.Net.Sockets;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Peers that are refused or admitted, and a wire that the tests hold in their hands.</summary>
public sealed partial class TlsTransportTests
{
    private static async Task RefusedByClientAsync(TlsOptions connecting, PeerRefusal refusal, string text)
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(listener.Endpoint, new() { Tls = connecting }, default));
        Assert.Equal(refusal, e.Refusal);
        Assert.Contains(text, e.Message);
        Assert.Contains(listener.Endpoint.ToString(), e.Message);
        await AdmitsAsync(listener);
    }

    private static async Task RefusedByServerAsync(TlsOptions connecting, PeerRefusal refusal, string text)
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        TransportException told = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(listener.Endpoint, new() { Tls = connecting }, default));
        Assert.Equal(refusal, told.Refusal);
        TransportException noted = await RefusalAsync(listener, 1);
        Assert.Equal(refusal, noted.Refusal);
        Assert.Contains(text, noted.Message);
        await AdmitsAsync(listener);
    }

    private static async Task AdmitsAsync(ITransportListener listener)
    {
        using IConnection client = await Transport.ConnectAsync(listener.Endpoint, TestCertificates.Mutual, default).WaitAsync(Blocking.Limit);
        using IConnection? server = await listener.AcceptAsync(default).AsTask().WaitAsync(Blocking.Limit);
        Assert.NotNull(server);
    }

    private static async Task<TransportException> RefusalAsync(ITransportListener listener, long count)
    {
        var refusals = (IPeerRefusals)listener;
        using CancellationTokenSource limit = new(Blocking.Limit);
        while (refusals.RefusedPeers < count) await Task.Delay(5, limit.Token);
        return refusals.LastRefusal!;
    }

    private static Socket ListeningSocket(out int port)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        socket.Listen(4);
        port = ((IPEndPoint)socket.LocalEndPoint!).Port;
        return socket;
    }

    private static async Task<Socket> ConnectedAsync(int port)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port);
        return socket;
    }

    /// <summary>Carries one connection on to <paramref name="port"/>; what the client sends passes through <paramref name="seen"/>.</summary>
    private static async Task RelayAsync(Socket front, int port, Stream seen, CancellationToken cut = default)
    {
        using Socket client = await front.AcceptAsync(CancellationToken.None), server = await ConnectedAsync(port);
        await Task.WhenAll(CopyAsync(client, server, seen), CopyAsync(server, client, Stream.Null));

        async Task CopyAsync(Socket from, Socket to, Stream copy)
        {
            byte[] bytes = new byte[100_000];
            try
            {
                while (await from.ReceiveAsync(bytes, SocketFlags.None, cut) is > 0 and var count)
                {
                    copy.Write(bytes, 0, count);
                    await to.SendAsync(bytes.AsMemory(0, count), SocketFlags.None, CancellationToken.None);
                }
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException)
            {
            }
            try { to.Shutdown(SocketShutdown.Send); }
            catch (SocketException) { }
        }
    }

    private sealed class FlippingStream : MemoryStream
    {
        public volatile bool Armed;

        public override void Write(byte[] buffer, int offset, int count)
        {
            if (Armed) buffer[offset + count / 2] ^= 1;
        }
    }
}
