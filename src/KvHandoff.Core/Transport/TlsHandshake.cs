using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace KvHandoff.Transport;

/// <summary>
/// Makes a TLS connection of a connected socket. A TLS 1.3 client is done before the listening side has seen its certificate, so that side
/// answers with its verdict in one byte, the first of the encrypted stream: a refusal is an error of connecting, and not of a later read.
/// </summary>
internal static class TlsHandshake
{
    private const byte Admitted = 0;

    /// <summary>Listening side.</summary>
    /// <exception cref="TransportException">The peer is refused, or the handshake failed. The socket is disposed.</exception>
    public static async Task<TlsConnection> AcceptAsync(SocketConnection socket, TlsOptions tls, TransportOptions options, CancellationToken deadline)
    {
        TlsPeerCheck check = new(tls, peerIsServer: false);
        TlsRecordStream records = new(socket);
        SslStream stream = new(records, leaveInnerStreamOpen: true);
        bool admitted = false;
        try
        {
            SslServerAuthenticationOptions server = new()
            {
                ServerCertificateContext = tls.ServerCertificate,
                ClientCertificateRequired = tls.RequireClientCertificate,
                EnabledSslProtocols = SslProtocols.Tls13,
                AllowRenegotiation = false,
                AllowTlsResume = false,
                CertificateChainPolicy = check.ChainPolicy(),
                // The verdict is kept and acted on below: refusing in here would close the socket without a word.
                RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                {
                    check.Judge(certificate, chain, errors);
                    return true;
                },
            };
            await stream.AuthenticateAsServerAsync(server, deadline).ConfigureAwait(false);
            if (!tls.RequireClientCertificate && check.Reason is not null) check.Judge(null, null, SslPolicyErrors.None);
            await stream.WriteAsync(new[] { check.Reason is null ? Admitted : (byte)check.Refusal }, deadline).ConfigureAwait(false);
            if (check.Reason is not null) throw new TransportException(check.Refusal, $"Refused a peer: {socket.Description}: {check.Reason}");
            admitted = true;
            return new TlsConnection(socket, records, stream, options);
        }
        catch (Exception e) when (IsFailure(e))
        {
            throw Failure(e, $"Refused a peer: {socket.Description}", records, check, options, deadline);
        }
        finally
        {
            if (!admitted) Release(stream, socket);
        }
    }

    /// <summary>Connecting side; <paramref name="host"/> is what the certificate must be for.</summary>
    /// <exception cref="TransportException">The listener is refused, refuses, or the handshake failed. The socket is disposed.</exception>
    public static async Task<TlsConnection> ConnectAsync(
        SocketConnection socket, string host, TlsOptions tls, TransportOptions options, TransportEndpoint endpoint, CancellationToken deadline)
    {
        TlsPeerCheck check = new(tls, peerIsServer: true);
        TlsRecordStream records = new(socket);
        SslStream stream = new(records, leaveInnerStreamOpen: true);
        string attempt = $"Cannot connect to {endpoint}";
        bool connected = false;
        try
        {
            SslClientAuthenticationOptions client = new()
            {
                TargetHost = host,
                ClientCertificateContext = tls.ClientCertificate,
                EnabledSslProtocols = SslProtocols.Tls13,
                AllowRenegotiation = false,
                AllowTlsResume = false,
                CertificateChainPolicy = check.ChainPolicy(),
                RemoteCertificateValidationCallback = (_, certificate, chain, errors) => check.Judge(certificate, chain, errors),
            };
            await stream.AuthenticateAsClientAsync(client, deadline).ConfigureAwait(false);
            var verdict = new byte[1];
            if (await stream.ReadAsync(verdict, deadline).ConfigureAwait(false) == 0)
                throw new IOException("the listener closed the connection instead of admitting it");
            if (verdict[0] != Admitted)
            {
                PeerRefusal refusal = Enum.IsDefined((PeerRefusal)verdict[0]) ? (PeerRefusal)verdict[0] : PeerRefusal.HandshakeFailed;
                throw new TransportException(refusal, $"{attempt}: the listener refused this side: {refusal}");
            }
            connected = true;
            return new TlsConnection(socket, records, stream, options);
        }
        catch (Exception e) when (IsFailure(e))
        {
            throw Failure(e, attempt, records, check, options, deadline);
        }
        finally
        {
            if (!connected) Release(stream, socket);
        }
    }

    private static TransportException Failure(
        Exception e, string attempt, TlsRecordStream records, TlsPeerCheck check, TransportOptions options, CancellationToken deadline)
    {
        string reason = TlsConnection.Reason(e);
        if (records.PeerIsNotTls)
            return new TransportException(PeerRefusal.NotTls, $"{attempt}: the peer does not speak TLS", e);
        if (deadline.IsCancellationRequested)
            return new TransportException(TransportStatus.TimedOut,
                $"{attempt}: the TLS handshake was not done within {options.ConnectTimeout.TotalSeconds} s"
                + (records.PeerSpoke ? "" : "; the peer sent nothing, and may not speak TLS"), e);
        // The certificate was judged: OpenSSL's words about the refusal say less.
        if (check.Refusal is PeerRefusal.UntrustedCertificate or PeerRefusal.WrongHostName)
            return new TransportException(check.Refusal, $"{attempt}: {check.Reason}", e);
        if (MeansVersion(reason))
            return new TransportException(PeerRefusal.TlsVersion, $"{attempt}: the peer has no TLS 1.3, and nothing older is spoken here: {reason}", e);
        return new TransportException(PeerRefusal.HandshakeFailed, $"{attempt}: {reason}", e);
    }

    private static bool MeansVersion(string reason) =>
        reason.Contains("unsupported protocol", StringComparison.OrdinalIgnoreCase)
        || reason.Contains("protocol version", StringComparison.OrdinalIgnoreCase)
        || reason.Contains("wrong ssl version", StringComparison.OrdinalIgnoreCase);

    private static void Release(SslStream stream, SocketConnection socket)
    {
        socket.DiscardReceived(TlsConnection.RecordBytes);
        socket.Dispose();
        stream.Dispose();
    }

    private static bool IsFailure(Exception e) => e is IOException and not TransportException or SocketException
        or AuthenticationException or InvalidOperationException or NotSupportedException or OperationCanceledException;
}
