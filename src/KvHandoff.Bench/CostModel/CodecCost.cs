using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>
/// A codec of ratio rho on a link of B bytes per second. One step after the other S/Re + S/(rho B) + S/Rd pays below B = (1 - 1/rho) / (1/Re + 1/Rd);
/// overlapped, the slowest of the three counts, and it pays below B = min(Re, Rd). The gain is never more than rho.
/// </summary>
/// <param name="Ratio">rho.</param>
/// <param name="EncodeBytesPerSecond">Re, of all cores of a side, in bytes before encoding.</param>
/// <param name="DecodeBytesPerSecond">Rd.</param>
internal readonly record struct CodecCost(double Ratio, double EncodeBytesPerSecond, double DecodeBytesPerSecond)
{
    internal static CodecCost Of(CodecFigures codec, int cores) => new(codec.Ratio, codec.EncodeBytesPerSecond * cores, codec.DecodeBytesPerSecond * cores);

    internal double SerialSeconds(double bytes, double bytesPerSecond) => bytes / EncodeBytesPerSecond + bytes / Ratio / bytesPerSecond + bytes / DecodeBytesPerSecond;

    internal double OverlappedSeconds(double bytes, double bytesPerSecond) => Math.Max(bytes / Ratio / bytesPerSecond, Math.Max(bytes / EncodeBytesPerSecond, bytes / DecodeBytesPerSecond));

    /// <summary>Link rate below which encoding, sending and decoding one after the other is faster than sending as it is.</summary>
    internal double SerialBreakEven => Ratio <= 1 ? 0 : (1 - 1 / Ratio) / (1 / EncodeBytesPerSecond + 1 / DecodeBytesPerSecond);

    /// <summary>The same where the three overlap.</summary>
    internal double OverlappedBreakEven => Ratio <= 1 ? 0 : Math.Min(EncodeBytesPerSecond, DecodeBytesPerSecond);

    /// <summary>Link rate up to which the whole ratio is gained; between this and the break-even the codec is the bottleneck.</summary>
    internal double FullGainBelow => OverlappedBreakEven / Ratio;
}
