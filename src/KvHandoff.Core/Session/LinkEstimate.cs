using System.Collections.Immutable;
using KvHandoff.Codec;

namespace KvHandoff.Session;

/// <summary>What a codec does with rows on the workers in question, all streams together.</summary>
/// <param name="Codec">The codec; raw for checksums and gathering alone.</param>
/// <param name="EncodeBytesPerSecond">Raw bytes that the sender encodes and checksums.</param>
/// <param name="DecodeBytesPerSecond">Raw bytes that the receiver verifies and places.</param>
public sealed record CodecRate(CodecId Codec, double EncodeBytesPerSecond, double DecodeBytesPerSecond)
{
    /// <summary>Raw bytes per encoded byte that a codec whose size depends on the rows is expected to reach, 1 or more; others have sizes of their own.</summary>
    public double Ratio { get; init; } = 1;
}

/// <summary>A path between two workers, as a sweep over message sizes fits it: t(s) = latency + max(s / bandwidth, 1 / message rate). Immutable.</summary>
/// <param name="LatencySeconds">One way, for a small message; 0 or more.</param>
/// <param name="BytesPerSecond">What large messages reach, over all streams together.</param>
public sealed record LinkEstimate(double LatencySeconds, double BytesPerSecond)
{
    /// <summary>Messages (frames) per second that the path carries at most; infinite unless it was measured.</summary>
    public double MessagesPerSecond { get; init; } = double.PositiveInfinity;

    /// <summary>Rates of codecs; one that is not listed is taken to keep up with the link.</summary>
    public ImmutableArray<CodecRate> Codecs { get; init; } = [];

    /// <summary>Bytes per second that messages of one size reach: min(bandwidth, message rate x size).</summary>
    public double RateOf(double messageBytes) => Math.Min(BytesPerSecond, MessagesPerSecond * messageBytes);

    /// <summary>Throws when a number is out of range.</summary>
    /// <exception cref="ArgumentException">The message names the number, its value and what is allowed.</exception>
    public void Validate()
    {
        if (!(LatencySeconds >= 0 && double.IsFinite(LatencySeconds))) throw new ArgumentException($"The latency is {LatencySeconds} s; allowed: 0 or more.");
        RequirePositive("The bandwidth in bytes per second", BytesPerSecond);
        RequirePositive("The number of messages per second", MessagesPerSecond);
        if (Codecs.IsDefault) return;
        foreach (CodecRate rate in Codecs)
        {
            RequirePositive($"The encode rate of {rate.Codec}", rate.EncodeBytesPerSecond);
            RequirePositive($"The decode rate of {rate.Codec}", rate.DecodeBytesPerSecond);
            if (!(rate.Ratio >= 1 && double.IsFinite(rate.Ratio))) throw new ArgumentException($"The ratio of {rate.Codec} is {rate.Ratio}; allowed: 1 or more.");
        }
    }

    internal CodecRate RateOf(CodecId codec)
    {
        foreach (CodecRate rate in Codecs.IsDefault ? [] : Codecs)
        {
            if (rate.Codec == codec) return rate;
        }

        return new CodecRate(codec, double.PositiveInfinity, double.PositiveInfinity);
    }

    private static void RequirePositive(string what, double value)
    {
        if (!(value > 0)) throw new ArgumentException($"{what} is {value}; it must be positive.");
    }
}
