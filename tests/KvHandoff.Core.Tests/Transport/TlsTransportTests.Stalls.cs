using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

// Peers that connect and say nothing.
public sealed partial class TlsTransportTests
{
    [Fact]
    public async Task A_silent_server_ends_a_connect_in_time()
    {
        using Socket silent = ListeningSocket(out int port);
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(
            Any with { Port = port }, TestCertificates.Mutual with { ConnectTimeout = TimeSpan.FromMilliseconds(200) }, default).WaitAsync(Blocking.Limit));
        Assert.Equal(TransportStatus.TimedOut, e.Status);
        Assert.Contains("0.2 s", e.Message);
        using CancellationTokenSource caller = new(100);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Transport.ConnectAsync(Any with { Port = port }, TestCertificates.Mutual, caller.Token).WaitAsync(Blocking.Limit));
    }

    [Fact]
    public async Task Stalled_peers_keep_nobody_out_and_the_oldest_gives_way()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, new() { Tls = Mutual with { MaxPendingHandshakes = 4 } }, default);
        List<Socket> stalled = [];
        for (int i = 0; i < 10; i++) stalled.Add(await ConnectedAsync(listener.Endpoint.Port));
        await AdmitsAsync(listener);
        TransportException e = await RefusalAsync(listener, 6);
        Assert.Equal(PeerRefusal.TooManyHandshakes, e.Refusal);
        Assert.Contains("more than 4", e.Message);
        stalled.ForEach(s => s.Dispose());
    }

    [Fact]
    public async Task A_stalled_handshake_ends_in_time()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual with { ConnectTimeout = TimeSpan.FromMilliseconds(200) }, default);
        using Socket stalled = await ConnectedAsync(listener.Endpoint.Port);
        TransportException e = await RefusalAsync(listener, 1);
        Assert.Equal(TransportStatus.TimedOut, e.Status);
        Assert.Equal(0, await stalled.ReceiveAsync(new byte[1]).WaitAsync(Blocking.Limit));
    }
}
