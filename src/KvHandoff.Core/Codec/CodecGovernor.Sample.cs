namespace KvHandoff.Codec;

/// <summary>What one granule cost, as the sender measured it and the receiver reported it.</summary>
/// <param name="Codec">The codec that it was sent with.</param>
/// <param name="RawBytes">Bytes of its rows.</param>
/// <param name="EncodedBytes">Bytes that travelled.</param>
/// <param name="EncodeSeconds">Time to gather and encode; for raw, to gather alone.</param>
/// <param name="SendSeconds">Time in the sending call, with the time that it waited because the peer or the link was behind.</param>
/// <param name="DecodeSeconds">Time that the receiver took to decode; 0 where it is not known.</param>
public readonly record struct CodecSample(
    CodecId Codec, long RawBytes, long EncodedBytes, double EncodeSeconds, double SendSeconds, double DecodeSeconds = 0)
{
    /// <summary>Time of the slowest stage: what the granule cost a pipeline.</summary>
    public double SlowestSeconds => Math.Max(Math.Max(EncodeSeconds, SendSeconds), DecodeSeconds);

    internal bool IsUsable =>
        RawBytes > 0 && EncodedBytes > 0 && IsDuration(EncodeSeconds) && IsDuration(SendSeconds) && IsDuration(DecodeSeconds)
        && SlowestSeconds > 0;

    private static bool IsDuration(double seconds) => double.IsFinite(seconds) && seconds >= 0;
}
