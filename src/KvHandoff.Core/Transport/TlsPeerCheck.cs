using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace KvHandoff.Transport;

/// <summary>Judges the certificate of one peer during its handshake. It refuses until the certificate has passed.</summary>
internal sealed class TlsPeerCheck(TlsOptions options, bool peerIsServer)
{
    /// <summary>Why the peer is refused; null once it has passed.</summary>
    public string? Reason { get; private set; } = "the peer showed no certificate";

    /// <summary>The kind of refusal.</summary>
    public PeerRefusal Refusal { get; private set; } = PeerRefusal.NoClientCertificate;

    /// <summary>How the runtime builds the chain that <see cref="Judge"/> is then shown.</summary>
    public X509ChainPolicy ChainPolicy()
    {
        X509ChainPolicy policy = new() { RevocationMode = options.RevocationMode };
        if (!options.TrustedRoots.IsDefaultOrEmpty)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(options.TrustedRoots.ToArray());
        }
        // A certificate says what it may be used for; one for servers does not make a client.
        policy.ApplicationPolicy.Add(new Oid(peerIsServer ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2"));
        policy.DisableCertificateDownloads = true;
        return policy;
    }

    /// <summary>The verdict on <paramref name="certificate"/>.</summary>
    public bool Judge(X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (certificate is not X509Certificate2 leaf)
            return !peerIsServer && !options.RequireClientCertificate ? Pass() : Fail(PeerRefusal.NoClientCertificate, "the peer showed no certificate");
        // A client that shows what nobody asked for is not judged by it, and is no less unknown.
        if (!peerIsServer && !options.RequireClientCertificate) return Pass();

        bool pinned = !options.PinnedCertificates.IsDefaultOrEmpty, rooted = !options.TrustedRoots.IsDefaultOrEmpty || !pinned;
        string sha256 = leaf.GetCertHashString(HashAlgorithmName.SHA256);
        string shown = $"certificate '{leaf.Subject}', issued by '{leaf.Issuer}', SHA-256 {sha256}";
        DateTime now = DateTime.Now;
        if (now < leaf.NotBefore || now > leaf.NotAfter)
            return Fail(PeerRefusal.UntrustedCertificate, $"{shown} is valid from {leaf.NotBefore:u} to {leaf.NotAfter:u}; it is {now:u}");
        if (pinned && !options.PinnedCertificates.Contains(sha256, StringComparer.OrdinalIgnoreCase))
            return Fail(PeerRefusal.UntrustedCertificate, $"{shown} is none of the {options.PinnedCertificates.Length} pinned ones");
        if (rooted && errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors))
            return Fail(PeerRefusal.UntrustedCertificate, $"{shown} does not chain to a trusted root: {ChainText(chain)}");
        if (peerIsServer && (rooted || options.ExpectedHostName is not null) && errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch))
            return Fail(PeerRefusal.WrongHostName, $"{shown} is not for the host that was asked for");
        return Pass();
    }

    private static string ChainText(X509Chain? chain) =>
        chain is null ? "no chain" : string.Join(", ", chain.ChainStatus.Select(s => s.Status).Distinct());

    private bool Pass()
    {
        Reason = null;
        Refusal = PeerRefusal.None;
        return true;
    }

    private bool Fail(PeerRefusal refusal, string reason)
    {
        Refusal = refusal;
        Reason = reason;
        return false;
    }
}
