namespace KvHandoff.Transport;

/// <summary>What has passed through one connection so far, counted where the kernel took or gave the bytes.</summary>
/// <param name="BytesSent">Bytes that the kernel accepted; the peer may not have them yet.</param>
/// <param name="BytesReceived">Bytes that the kernel delivered.</param>
/// <param name="Calls">Send and receive calls made to the system, those that moved nothing included.</param>
public readonly record struct TransportCounters(long BytesSent, long BytesReceived, long Calls);
