namespace KvHandoff.Transport;

/// <summary>What a <see cref="ControlPipe"/> needs of the connection under it.</summary>
internal interface IControlStream
{
    /// <summary>One receive: the bytes that came, or 0 and how the stream ended.</summary>
    ValueTask<(int Count, TransportResult End)> ReceiveSomeAsync(Memory<byte> destination, CancellationToken cancellationToken);

    /// <summary>Sends all of <paramref name="bytes"/>.</summary>
    ValueTask<TransportResult> SendSegmentAsync(ReadOnlyMemory<byte> bytes);

    /// <summary>Says that nothing more will be sent.</summary>
    TransportResult CompleteSend();

    /// <summary>Ends both directions at once.</summary>
    void Abort();
}
