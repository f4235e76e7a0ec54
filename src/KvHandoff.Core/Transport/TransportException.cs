namespace KvHandoff.Transport;

/// <summary>
/// A transport could not listen or connect, or the byte stream under a control pipe broke. Transfers of a connection report
/// a <see cref="TransportResult"/> instead.
/// </summary>
public sealed class TransportException : IOException
{
    /// <summary>Names what failed; <paramref name="message"/> holds the endpoint and the reason.</summary>
    public TransportException(TransportStatus status, string message, Exception? innerException = null)
        : base(message, innerException) => Status = status;

    /// <summary>As above, for a peer that was reached and refused, or that refused.</summary>
    public TransportException(PeerRefusal refusal, string message, Exception? innerException = null)
        : this(TransportStatus.Failed, message, innerException) => Refusal = refusal;

    /// <summary>The kind of failure; never <see cref="TransportStatus.Ok"/>.</summary>
    public TransportStatus Status { get; }

    /// <summary>Why one side refused the other; <see cref="PeerRefusal.None"/> for failures of another kind.</summary>
    public PeerRefusal Refusal { get; }
}
