using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>
/// TLS 1.3 over TCP: <c>tls://host:port</c>, with <see cref="TransportOptions.Tls"/>. Both sides show certificates unless the listener
/// does not ask for them.
/// </summary>
public sealed class TlsTransport : ITransport
{
    /// <summary>The scheme of its endpoints.</summary>
    public const string Scheme = "tls";

    private const int PinDigits = 64;

    /// <summary>The one instance; it holds no state.</summary>
    public static TlsTransport Instance { get; } = new();

    /// <inheritdoc/>
    public string Name => Scheme;

    /// <inheritdoc/>
    public async Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        TlsOptions tls = Check(endpoint, options, "listen on");
        if (tls.ServerCertificate is null) throw Misconfigured(endpoint, "listen on", $"{nameof(TlsOptions.ServerCertificate)} is not set");
        if (tls.RequireClientCertificate && tls.TrustedRoots.IsDefaultOrEmpty && tls.PinnedCertificates.IsDefaultOrEmpty)
            throw Misconfigured(endpoint, "listen on", $"client certificates are required, and neither {nameof(TlsOptions.TrustedRoots)} nor {nameof(TlsOptions.PinnedCertificates)} says whose");
        if (tls.MaxPendingHandshakes < 1)
            throw Misconfigured(endpoint, "listen on", $"{nameof(TlsOptions.MaxPendingHandshakes)} is {tls.MaxPendingHandshakes}; at least 1 is needed");
        (Socket socket, TransportEndpoint bound) = await TcpSockets.ListenAsync(endpoint, Scheme, encrypted: true, options, cancellationToken).ConfigureAwait(false);
        return new TlsListener(socket, bound, tls, options);
    }

    /// <inheritdoc/>
    public async Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken)
    {
        TlsOptions tls = Check(endpoint, options, "connect to");
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.ConnectTimeout);
        try
        {
            Socket socket = await TcpSockets.ConnectAsync(endpoint, Scheme, options, deadline.Token).ConfigureAwait(false);
            return await TlsHandshake.ConnectAsync(Wrap(socket, options), tls.ExpectedHostName ?? endpoint.Host, tls, options, endpoint, deadline.Token).ConfigureAwait(false);
        }
        catch (TransportException) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellationToken);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw TcpSockets.TimedOut(endpoint, options, e);
        }
    }

    internal static SocketConnection Wrap(Socket socket, TransportOptions options)
    {
        socket.NoDelay = options.NoDelay;
        return new SocketConnection(socket, Scheme, options);
    }

    private static TlsOptions Check(TransportEndpoint endpoint, TransportOptions options, string purpose)
    {
        TcpSockets.RequireScheme(endpoint, Scheme, purpose);
        TlsOptions tls = options.Tls ?? throw Misconfigured(endpoint, purpose, $"{nameof(TransportOptions)}.{nameof(TransportOptions.Tls)} is not set");
        foreach (string pin in tls.PinnedCertificates.IsDefault ? [] : tls.PinnedCertificates)
            if (pin is not { Length: PinDigits } || !pin.All(char.IsAsciiHexDigit))
                throw Misconfigured(endpoint, purpose, $"pin '{pin}' is not the {PinDigits} hexadecimal digits of a SHA-256");
        return tls;
    }

    private static TransportException Misconfigured(TransportEndpoint endpoint, string purpose, string reason) =>
        new(TransportStatus.Failed, $"Cannot {purpose} {endpoint}: {reason}");
}
