using System.Collections.Immutable;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using KvHandoff.Transport;

namespace KvHandoff.Bench.Workers;

/// <summary>The transports between the two workers: where one listens, and what both have to know for it.</summary>
internal static class WorkerTransport
{
    internal const string Tcp = "tcp", Unix = "unix", SharedMemory = "shm", Tls = "tls", Ucx = "ucx";

    /// <summary>All that can be named, the plainest first.</summary>
    internal static IReadOnlyList<string> All { get; } = [Tcp, Unix, SharedMemory, Tls, Ucx];

    /// <summary>Those that work on this machine without anything being installed for them.</summary>
    internal static IReadOnlyList<string> Plain { get; } = [Tcp, Unix, SharedMemory, Tls];

    /// <summary>Where a new listener of this process listens; abstract names need no file and no cleaning up.</summary>
    internal static string ListenAt(string transport) => transport switch
    {
        Tcp or Tls or Ucx => $"{transport}://127.0.0.1:0",
        Unix or SharedMemory => $"{transport}://@{NewName()}",
        _ => throw new ArgumentException($"Transport '{transport}' is not one of {string.Join(", ", All)}.", nameof(transport)),
    };

    /// <summary>A name that no other socket of this host has.</summary>
    internal static string NewName() => $"kvhandoff-bench-{Guid.NewGuid():n}";

    /// <summary>A self-signed certificate with its key for one run, to be told to both workers; null where none is needed.</summary>
    internal static string? NewCertificate(string transport)
    {
        if (transport != Tls) return null;
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=kvhandoff-bench", key, HashAlgorithmName.SHA256);
        using X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1));
        return Convert.ToBase64String(certificate.Export(X509ContentType.Pkcs12));
    }

    /// <summary>Settings of a listener or a connection; with a certificate both sides show it and accept nothing else.</summary>
    internal static TransportOptions Options(string? certificate) => certificate is null ? TransportOptions.Default : new TransportOptions { Tls = Trust(Load(certificate)) };

    internal static X509Certificate2 Load(string certificate) => X509CertificateLoader.LoadPkcs12(Convert.FromBase64String(certificate), null);

    private static TlsOptions Trust(X509Certificate2 certificate)
    {
        SslStreamCertificateContext own = SslStreamCertificateContext.Create(certificate, null, offline: true);
        return new TlsOptions { ServerCertificate = own, ClientCertificate = own, PinnedCertificates = ImmutableArray.Create(certificate.GetCertHashString(HashAlgorithmName.SHA256)) };
    }
}
