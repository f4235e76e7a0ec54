namespace KvHandoff.Transport;

/// <summary>How a transfer ended; everything but <see cref="Ok"/> ends the direction that it happened on.</summary>
public enum TransportStatus
{
    /// <summary>Every byte was taken by, or delivered from, the local end of the stream.</summary>
    Ok,

    /// <summary>The peer ended its stream in order, and no byte of this message had arrived.</summary>
    Closed,

    /// <summary>The peer ended its stream after a part of this message.</summary>
    Truncated,

    /// <summary>The peer is gone, or refuses what is sent to it.</summary>
    Reset,

    /// <summary>This side gave up: <see cref="IConnection.Abort"/>, disposal, or the cancellation of an asynchronous call.</summary>
    Aborted,

    /// <summary>The peer did not answer in time.</summary>
    TimedOut,

    /// <summary>Anything else; the message has the system's reason.</summary>
    Failed,
}

/// <summary>The outcome of one transfer, as a value: nothing is thrown and nothing is allocated when it is Ok.</summary>
/// <param name="Status">What happened.</param>
/// <param name="Message">Null when Ok; otherwise the connection, the bytes done and the bytes asked for.</param>
public readonly record struct TransportResult(TransportStatus Status, string? Message)
{
    /// <summary>The whole message was transferred.</summary>
    public static TransportResult Ok => default;

    /// <summary>True for <see cref="TransportStatus.Ok"/>.</summary>
    public bool IsOk => Status == TransportStatus.Ok;

    /// <summary>The status, and the message when there is one.</summary>
    public override string ToString() => Message is null ? Status.ToString() : $"{Status}: {Message}";
}
