using System.Collections.Immutable;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace KvHandoff.Transport;

/// <summary>Who this side is, and whom it believes, over <c>tls</c>. TLS 1.3 only. Immutable.</summary>
/// <remarks>
/// <para>A peer's certificate has to be within its dates and pass every check that is set up here: the chain to
/// <see cref="TrustedRoots"/>, the <see cref="PinnedCertificates"/>, the host name. There is no switch that accepts anything.</para>
/// <para>The certificates must stay undisposed as long as a listener or connection uses them.</para>
/// </remarks>
public sealed record TlsOptions
{
    /// <summary>Certificate and private key of a listener, with the intermediates that it sends.</summary>
    /// <remarks>Needed to listen. <see cref="SslStreamCertificateContext.Create(X509Certificate2, X509Certificate2Collection?, bool)"/> makes one; with
    /// <c>offline: true</c> it downloads nothing.</remarks>
    public SslStreamCertificateContext? ServerCertificate { get; init; }

    /// <summary>Certificate and private key that a connecting side shows when it is asked.</summary>
    /// <remarks>Defaults to null: none. A listener with <see cref="RequireClientCertificate"/> then refuses.</remarks>
    public SslStreamCertificateContext? ClientCertificate { get; init; }

    /// <summary>A listener lets nobody in without a certificate that passes the checks (mutual TLS).</summary>
    /// <remarks>Defaults to true. With false everyone who can route to the listener can connect, encrypted but unknown.</remarks>
    public bool RequireClientCertificate { get; init; } = true;

    /// <summary>The only roots that a peer's chain may end in.</summary>
    /// <remarks>Defaults to empty: without pins, a connecting side then trusts the roots of the system, and a listener that requires client
    /// certificates does not start, since any public authority could issue one.</remarks>
    public ImmutableArray<X509Certificate2> TrustedRoots { get; init; } = [];

    /// <summary>SHA-256 of the peer certificates (DER) that are accepted, as 64 hexadecimal digits each.</summary>
    /// <remarks>Defaults to empty: no pins. Pins without <see cref="TrustedRoots"/> replace the chain, so that a self-signed certificate will do, and
    /// the host name, unless <see cref="ExpectedHostName"/> is set; pins with roots are a further check.</remarks>
    public ImmutableArray<string> PinnedCertificates { get; init; } = [];

    /// <summary>Name that the listener's certificate must be for.</summary>
    /// <remarks>Defaults to null: the host of the endpoint.</remarks>
    public string? ExpectedHostName { get; init; }

    /// <summary>Whether the issuer is asked if a certificate was revoked.</summary>
    /// <remarks>Defaults to no: private authorities rarely answer, and asking is network traffic in the handshake.</remarks>
    public X509RevocationMode RevocationMode { get; init; } = X509RevocationMode.NoCheck;

    /// <summary>Most handshakes that a listener has open at once; one more ends the oldest.</summary>
    /// <remarks>Defaults to 128. A handshake also ends after <see cref="TransportOptions.ConnectTimeout"/>.</remarks>
    public int MaxPendingHandshakes { get; init; } = 128;
}
