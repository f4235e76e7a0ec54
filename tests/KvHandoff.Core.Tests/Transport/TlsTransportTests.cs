using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Who is let in, and what the others are told.</summary>
public sealed partial class TlsTransportTests
{
    private static readonly TransportEndpoint Any = new("tls", "127.0.0.1", 0);
    private static readonly TlsTransport Transport = TlsTransport.Instance;
    private static readonly TlsOptions Mutual = TestCertificates.Mutual.Tls!;

    [Fact]
    public async Task Both_sides_are_encrypted_and_say_with_what()
    {
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, Any, TestCertificates.Mutual);
        Assert.Contains("TLS_", pair.Client.Description);
        Assert.StartsWith("tls ", pair.Server.Description);
        Assert.NotNull(pair.Client.Remote);
    }

    [Fact]
    public async Task What_is_on_the_wire_is_not_what_was_sent()
    {
        // A plain relay in the middle sees every byte.
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        using Socket front = ListeningSocket(out int port);
        using MemoryStream seen = new();
        Task relaying = RelayAsync(front, listener.Endpoint.Port, seen);
        byte[] secret = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("kv cache of a stranger ", 1000))), got = new byte[secret.Length];
        using (IConnection client = await Transport.ConnectAsync(listener.Endpoint with { Port = port }, TestCertificates.Mutual, default))
        using (IConnection server = (await listener.AcceptAsync(default))!)
        {
            Assert.True(client.Send(secret).IsOk);
            Assert.True((await Blocking.Run(() => server.Receive(got))).IsOk);
        }
        Assert.Equal(secret, got);
        await relaying.WaitAsync(Blocking.Limit);
        Assert.True(seen.Length > secret.Length);
        Assert.Equal(-1, seen.ToArray().AsSpan().IndexOf("stranger"u8));
    }

    [Fact]
    public async Task Listening_for_other_hosts_needs_no_further_option()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any with { Host = "0.0.0.0" }, TestCertificates.Mutual, default);
        Assert.NotEqual(0, listener.Endpoint.Port);
    }

    [Fact]
    public async Task A_server_of_another_root_is_untrusted()
    {
        await RefusedByClientAsync(Mutual with { TrustedRoots = [TestCertificates.OtherRoot] }, PeerRefusal.UntrustedCertificate, "does not chain to a trusted root");
    }

    [Fact]
    public async Task A_private_root_is_not_the_systems()
    {
        await RefusedByClientAsync(Mutual with { TrustedRoots = [] }, PeerRefusal.UntrustedCertificate, "does not chain to a trusted root");
    }

    [Fact]
    public async Task A_server_of_another_name_is_refused()
    {
        await RefusedByClientAsync(Mutual with { ExpectedHostName = "decode-3.example.org" }, PeerRefusal.WrongHostName, "not for the host");
    }

    [Fact]
    public async Task A_server_that_is_not_pinned_is_refused_though_its_root_is_trusted()
    {
        await RefusedByClientAsync(Mutual with { PinnedCertificates = [TestCertificates.Pin(TestCertificates.Client)] }, PeerRefusal.UntrustedCertificate, "none of the 1 pinned");
    }

    [Fact]
    public async Task A_certificate_for_clients_makes_no_server()
    {
        TransportOptions serving = new() { Tls = Mutual with { ServerCertificate = TestCertificates.Context(TestCertificates.Client) } };
        await using ITransportListener listener = await Transport.ListenAsync(Any, serving, default);
        TransportException e = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ConnectAsync(listener.Endpoint, new() { Tls = Mutual with { ExpectedHostName = "prefill worker" } }, default));
        Assert.Equal(PeerRefusal.UntrustedCertificate, e.Refusal);
    }

    [Fact]
    public async Task A_pin_replaces_chain_and_name()
    {
        TlsOptions pinning = new()
        {
            ServerCertificate = TestCertificates.Context(TestCertificates.Root),
            ClientCertificate = TestCertificates.Context(TestCertificates.Stranger),
            PinnedCertificates = [TestCertificates.Pin(TestCertificates.Root).ToLowerInvariant(), TestCertificates.Pin(TestCertificates.Stranger)],
        };
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, Any, new TransportOptions { Tls = pinning });
        Assert.True(pair.Client.Send(new byte[1]).IsOk);
        Assert.True(pair.Server.Receive(new byte[1]).IsOk);
    }

    [Fact]
    public async Task A_client_without_a_certificate_is_told_so()
    {
        await RefusedByServerAsync(Mutual with { ClientCertificate = null }, PeerRefusal.NoClientCertificate, "showed no certificate");
    }

    [Fact]
    public async Task A_client_of_another_root_is_told_so()
    {
        await RefusedByServerAsync(Mutual with { ClientCertificate = TestCertificates.Context(TestCertificates.Stranger) }, PeerRefusal.UntrustedCertificate, "kv other root");
    }

    [Fact]
    public async Task An_expired_client_is_told_so()
    {
        await RefusedByServerAsync(Mutual with { ClientCertificate = TestCertificates.Context(TestCertificates.Expired) }, PeerRefusal.UntrustedCertificate, "is valid from");
    }

    [Fact]
    public async Task A_certificate_for_servers_makes_no_client()
    {
        await RefusedByServerAsync(Mutual with { ClientCertificate = TestCertificates.Context(TestCertificates.Server) }, PeerRefusal.UntrustedCertificate, "localhost");
    }

    [Fact]
    public async Task Without_mutual_tls_anyone_connects()
    {
        TransportOptions open = new() { Tls = Mutual with { RequireClientCertificate = false } };
        await using ITransportListener listener = await Transport.ListenAsync(Any, open, default);
        using IConnection unknown = await Transport.ConnectAsync(listener.Endpoint, new() { Tls = Mutual with { ClientCertificate = null } }, default);
        using IConnection known = await Transport.ConnectAsync(listener.Endpoint, TestCertificates.Mutual, default);
        Assert.NotNull(await listener.AcceptAsync(default));
        Assert.NotNull(await listener.AcceptAsync(default));
    }

    [Fact]
    public async Task A_plaintext_client_is_refused()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        using Socket plain = await ConnectedAsync(listener.Endpoint.Port);
        plain.Send("GET / HTTP/1.1\r\n\r\n"u8);
        TransportException e = await RefusalAsync(listener, 1);
        Assert.Equal(PeerRefusal.NotTls, e.Refusal);
        await AdmitsAsync(listener);
    }

    [Fact]
    public async Task A_plaintext_server_is_refused()
    {
        using Socket plain = ListeningSocket(out int port);
        Task answering = Task.Run(async () =>
        {
            using Socket accepted = await plain.AcceptAsync();
            accepted.Send("SSH-2.0-other\r\n"u8);
            while (await accepted.ReceiveAsync(new byte[1000]) > 0) { }
        });
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(Any with { Port = port }, TestCertificates.Mutual, default));
        Assert.Equal(PeerRefusal.NotTls, e.Refusal);
        Assert.Contains($":{port}", e.Message);
        await answering.WaitAsync(Blocking.Limit);
    }

    [Fact]
    public async Task A_client_with_an_older_version_is_refused()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        using SslStream old = new(new NetworkStream(await ConnectedAsync(listener.Endpoint.Port), ownsSocket: true));
        await Assert.ThrowsAnyAsync<Exception>(() => old.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            EnabledSslProtocols = SslProtocols.Tls12,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        }).WaitAsync(Blocking.Limit));
        Assert.Equal(PeerRefusal.TlsVersion, (await RefusalAsync(listener, 1)).Refusal);
        await AdmitsAsync(listener);
    }

    [Fact]
    public async Task A_server_with_an_older_version_is_refused()
    {
        using Socket listening = ListeningSocket(out int port);
        Task answering = Task.Run(async () =>
        {
            using SslStream old = new(new NetworkStream(await listening.AcceptAsync(), ownsSocket: true));
            await Assert.ThrowsAnyAsync<Exception>(() => old.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = TestCertificates.Context(TestCertificates.Server),
                EnabledSslProtocols = SslProtocols.Tls12,
            }));
        });
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(Any with { Port = port }, TestCertificates.Mutual, default));
        Assert.Equal(PeerRefusal.TlsVersion, e.Refusal);
        await answering.WaitAsync(Blocking.Limit);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    public async Task A_wire_that_is_cut_is_never_an_orderly_end(int bytesBefore)
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        using Socket front = ListeningSocket(out int port);
        using CancellationTokenSource cut = new();
        Task relaying = RelayAsync(front, listener.Endpoint.Port, Stream.Null, cut.Token);
        using IConnection client = await Transport.ConnectAsync(listener.Endpoint with { Port = port }, TestCertificates.Mutual, default);
        using IConnection server = (await listener.AcceptAsync(default))!;
        Assert.True(client.Send(new byte[bytesBefore]).IsOk);
        Assert.True((await Blocking.Run(() => server.Receive(new byte[bytesBefore]))).IsOk);
        cut.Cancel();
        TransportResult end = await Blocking.Run(() => server.Receive(new byte[100]));
        Assert.Equal(TransportStatus.Truncated, end.Status);
        Assert.Contains("close_notify", end.Message);
        await relaying.WaitAsync(Blocking.Limit);
    }

    [Fact]
    public async Task A_flipped_bit_on_the_wire_fails_the_receive()
    {
        await using ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        using Socket front = ListeningSocket(out int port);
        using FlippingStream flipping = new();
        Task relaying = RelayAsync(front, listener.Endpoint.Port, flipping);
        using IConnection client = await Transport.ConnectAsync(listener.Endpoint with { Port = port }, TestCertificates.Mutual, default);
        using IConnection server = (await listener.AcceptAsync(default))!;
        flipping.Armed = true;
        Assert.True(client.Send(new byte[1000]).IsOk);
        TransportResult end = await Blocking.Run(() => server.Receive(new byte[1000]));
        Assert.Equal(TransportStatus.Failed, end.Status);
        Assert.Contains("0 of 1000", end.Message);
        server.Dispose();
        client.Dispose();
        await relaying.WaitAsync(Blocking.Limit);
    }

    [Fact]
    public async Task Settings_that_cannot_work_are_refused_with_the_property_that_is_wrong()
    {
        await NamesAsync(null, nameof(TransportOptions.Tls));
        await NamesAsync(Mutual with { ServerCertificate = null }, nameof(TlsOptions.ServerCertificate));
        await NamesAsync(Mutual with { TrustedRoots = [] }, nameof(TlsOptions.TrustedRoots));
        await NamesAsync(Mutual with { MaxPendingHandshakes = 0 }, nameof(TlsOptions.MaxPendingHandshakes));
        await NamesAsync(Mutual with { PinnedCertificates = ["12:34"] }, "12:34");
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(Any with { Port = 1 }, new(), default));
        Assert.Contains(nameof(TransportOptions.Tls), e.Message);

        static async Task NamesAsync(TlsOptions? tls, string name)
        {
            TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(Any, new() { Tls = tls }, default));
            Assert.Contains(name, e.Message);
            Assert.Contains(Any.ToString(), e.Message);
        }
    }

    [Fact]
    public async Task Closing_the_listener_ends_what_is_shaking_hands_and_what_waits()
    {
        ITransportListener listener = await Transport.ListenAsync(Any, TestCertificates.Mutual, default);
        using Socket stalled = await ConnectedAsync(listener.Endpoint.Port);
        using IConnection waiting = await Transport.ConnectAsync(listener.Endpoint, TestCertificates.Mutual, default);
        await listener.DisposeAsync().AsTask().WaitAsync(Blocking.Limit);
        Assert.Null(await listener.AcceptAsync(default));
        Assert.NotEqual(TransportStatus.Ok, (await Blocking.Run(() => waiting.Receive(new byte[1]))).Status);
        Assert.Equal(0, await stalled.ReceiveAsync(new byte[1]).WaitAsync(Blocking.Limit));
    }
}
