namespace KvHandoff.Transport;

/// <summary>A control stream whose bytes may be taken by whoever is there to look, and by a thread that waits when nobody is.</summary>
internal interface IPolledStream : IControlStream
{
    /// <summary>Takes what is there without waiting: 0 when there is nothing, and then how the stream ended if it has.</summary>
    int TryReceive(Span<byte> destination, out TransportResult? end);

    /// <summary>Blocks until <see cref="TryReceive"/> has something to give or to say.</summary>
    void WaitForData();

    /// <summary>Receives nothing from here on; a wait ends with the next byte at the latest.</summary>
    void StopReceiving();
}

/// <summary>A data connection that can be used without waiting.</summary>
internal interface IPolledConnection
{
    /// <summary>Whether a receive would find a byte, or the end.</summary>
    bool HasData { get; }

    /// <summary>Sends what there is room for, without waiting.</summary>
    /// <param name="ranges">Scratch, the call changes them; what is left of them is <paramref name="rest"/>.</param>
    /// <param name="rest">What was not sent, from the first range on; empty when all was.</param>
    TransportResult TrySendVectors(Span<IoRange> ranges, out Span<IoRange> rest);
}
