using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Two certificate authorities made for this run, and what they issued.</summary>
internal static class TestCertificates
{
    private const string ServerUse = "1.3.6.1.5.5.7.3.1", ClientUse = "1.3.6.1.5.5.7.3.2";

    public static X509Certificate2 Root { get; } = Issue("kv test root", null, null);
    public static X509Certificate2 OtherRoot { get; } = Issue("kv other root", null, null);
    public static X509Certificate2 Server { get; } = Issue("localhost", Root, ServerUse);
    public static X509Certificate2 Client { get; } = Issue("prefill worker", Root, ClientUse);
    public static X509Certificate2 Stranger { get; } = Issue("localhost", OtherRoot, ClientUse);
    public static X509Certificate2 Expired { get; } = Issue("prefill worker", Root, ClientUse, daysFrom: -20, daysTo: -10);

    /// <summary>Both sides know each other.</summary>
    public static TransportOptions Mutual { get; } = new()
    {
        Tls = new TlsOptions { ServerCertificate = Context(Server), ClientCertificate = Context(Client), TrustedRoots = [Root] },
    };

    public static string Pin(X509Certificate2 certificate) => certificate.GetCertHashString(HashAlgorithmName.SHA256);

    public static SslStreamCertificateContext Context(X509Certificate2 certificate) => SslStreamCertificateContext.Create(certificate, null, offline: true);

    public static X509Certificate2 Issue(string name, X509Certificate2? issuer, string? use, int daysFrom = -30, int daysTo = 30)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(use is null, false, 0, true));
        if (use is not null) request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(use)], false));
        if (name == "localhost")
        {
            SubjectAlternativeNameBuilder names = new();
            names.AddDnsName(name);
            names.AddIpAddress(System.Net.IPAddress.Loopback);
            request.CertificateExtensions.Add(names.Build());
        }
        DateTimeOffset now = DateTimeOffset.UtcNow, from = now.AddDays(daysFrom), to = now.AddDays(daysTo);
        if (issuer is null) return request.CreateSelfSigned(from, to.AddDays(1));
        using X509Certificate2 issued = request.Create(issuer, from, to, RandomNumberGenerator.GetBytes(8));
        return issued.CopyWithPrivateKey(key);
    }
}
