using System.Collections.Immutable;
using System.Net.Security;
using System.Runtime.InteropServices;
using System.Security.Cryptography.X509Certificates;
using KvHandoff.Transport;

namespace KvHandoff.Native;

/// <summary>Certificates and trust, for senders and receivers that keep it open.</summary>
sealed class NativeTls(TlsOptions options, X509Certificate2[] certificates) : NativeObject
{
    internal TlsOptions Options => options;

    protected override void Free()
    {
        foreach (X509Certificate2 certificate in certificates) certificate.Dispose();
    }
}

/// <summary>TLS settings, and the transport settings that they are a part of.</summary>
static unsafe class TlsExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_tls_create")]
    static int Create(KvhTlsOptions* options, ulong* tls)
    {
        try
        {
            LibraryState.Require();
            HostStructs.RequireNotNull(tls);
            KvhTlsOptions given = HostStructs.Read(options);
            LibraryState.RequireOpenSsl();
            *tls = HandleTable.Add(Load(given));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    static NativeTls Load(in KvhTlsOptions given)
    {
        string? certificateFile = Texts.ReadOrNull(given.CertificateFile), keyFile = Texts.ReadOrNull(given.KeyFile), rootsFile = Texts.ReadOrNull(given.RootsFile);
        if ((certificateFile is null) != (keyFile is null)) throw new StatusException(Status.Argument, "certificate_file and key_file are given together or not at all.");
        var owned = new List<X509Certificate2>();
        SslStreamCertificateContext? own = null;
        if (certificateFile is not null)
        {
            X509Certificate2 certificate = X509Certificate2.CreateFromPemFile(certificateFile, keyFile);
            owned.Add(certificate);
            var chain = new X509Certificate2Collection();
            chain.ImportFromPemFile(certificateFile);
            owned.AddRange(chain);
            own = SslStreamCertificateContext.Create(certificate, [.. chain.Skip(1)], offline: true);
        }

        var roots = new X509Certificate2Collection();
        if (rootsFile is not null) roots.ImportFromPemFile(rootsFile);
        owned.AddRange(roots);
        return new NativeTls(new TlsOptions
        {
            ServerCertificate = own,
            ClientCertificate = own,
            RequireClientCertificate = given.AllowAnyClient == 0,
            TrustedRoots = [.. roots],
            PinnedCertificates = [.. Texts.Read(given.PinnedSha256).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)],
            ExpectedHostName = Texts.ReadOrNull(given.ExpectedHost),
        }, [.. owned]);
    }

    /// <summary>The transport settings of a sender or receiver, which depends on the TLS handle in them.</summary>
    internal static TransportOptions TransportOf(KvhTransport* transport, out NativeTls? tls)
    {
        tls = null;
        if (transport == null) return new TransportOptions();
        KvhTransport given = HostStructs.Read(transport);
        if ((given.Flags & ~1u) != 0) throw new StatusException(Status.Enum, $"flags are 0x{given.Flags:x}; allowed: KVH_TRANSPORT_ALLOW_REMOTE_PLAINTEXT.");
        int users = HostStructs.RequireRange(given.AllowedUserIdCount, 0, 1024, "allowed_user_id_count");
        if (users > 0) HostStructs.RequireNotNull(given.AllowedUserIds);
        if (given.Tls != 0)
        {
            using Pin<NativeTls> pin = HandleTable.Use<NativeTls>(given.Tls);
            tls = pin.Target;
        }

        return new TransportOptions
        {
            AllowRemotePlaintext = (given.Flags & 1) != 0,
            Tls = tls?.Options,
            SendBufferBytes = HostStructs.RequireRange(given.SendBufferBytes, 0, 1 << 30, "send_buffer_bytes"),
            ReceiveBufferBytes = HostStructs.RequireRange(given.ReceiveBufferBytes, 0, 1 << 30, "receive_buffer_bytes"),
            ConnectTimeout = HostStructs.Milliseconds(given.ConnectTimeoutMs, TimeSpan.FromSeconds(10), "connect_timeout_ms"),
            AllowedUserIds = [.. new ReadOnlySpan<uint>(given.AllowedUserIds, users)],
        };
    }
}
