namespace KvHandoff.Transport;

/// <summary>Why two sides that reached each other did not become a connection.</summary>
public enum PeerRefusal
{
    /// <summary>No refusal: the failure has another reason.</summary>
    None,

    /// <summary>The other process belongs to a user who is not in <see cref="TransportOptions.AllowedUserIds"/>.</summary>
    ForeignUser,

    /// <summary>The certificate is expired, not pinned, or not issued by a trusted root.</summary>
    UntrustedCertificate,

    /// <summary>The certificate is for another host than the one that was asked for.</summary>
    WrongHostName,

    /// <summary>The listening side asks for a client certificate and there is none.</summary>
    NoClientCertificate,

    /// <summary>The other side does not speak TLS.</summary>
    NotTls,

    /// <summary>The other side speaks no TLS 1.3.</summary>
    TlsVersion,

    /// <summary>The TLS handshake failed otherwise, or the other side gave it up.</summary>
    HandshakeFailed,

    /// <summary>Too many handshakes were open, and this was the oldest.</summary>
    TooManyHandshakes,
}
