using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>
/// A link: a message of s bytes takes alpha + s / B, and messages of s bytes go at min(B, R s) bytes per second where R is the most messages per second.
/// </summary>
/// <param name="BytesPerSecond">B, of large messages.</param>
/// <param name="MessageSeconds">alpha.</param>
/// <param name="MessagesPerSecond">R; infinite for no limit.</param>
internal readonly record struct TransferTime(double BytesPerSecond, double MessageSeconds, double MessagesPerSecond = double.PositiveInfinity)
{
    internal static TransferTime Of(Link link) => new(link.BytesPerSecond, link.MessageSeconds, link.MessagesPerSecond);

    /// <summary>Bytes per second of many messages of this size in flight at once.</summary>
    internal double Bandwidth(double messageBytes) => double.IsPositiveInfinity(MessagesPerSecond) ? BytesPerSecond : Math.Min(BytesPerSecond, MessagesPerSecond * messageBytes);

    /// <summary>Seconds of one unit: its fixed cost, then its bytes in messages of the given size.</summary>
    internal double UnitSeconds(double unitBytes, double messageBytes) => MessageSeconds + unitBytes / Bandwidth(Math.Min(messageBytes, unitBytes));

    /// <summary>Everything after prefill, unit by unit: n alpha + S / B.</summary>
    internal double StoreAndForwardSeconds(double bytes, int units, double messageBytes = double.PositiveInfinity) => units * UnitSeconds(bytes / units, messageBytes);
}

/// <summary>
/// Layer by layer (or chunk by chunk): m equal units, one ready every c = T / m while prefill takes T, each takes x on the link. If x is at most c only the last
/// is exposed, else the link runs from the first one on: c + m x in all.
/// </summary>
/// <param name="Units">m.</param>
/// <param name="PrefillSeconds">T, as it would be without publishing.</param>
/// <param name="WireSeconds">m x: how long the link is busy.</param>
/// <param name="FinishSeconds">From the start of prefill until everything has landed.</param>
internal readonly record struct PipelinedTransfer(int Units, double PrefillSeconds, double WireSeconds, double FinishSeconds)
{
    /// <summary>What the handoff adds to prefill, also by slowing it down.</summary>
    internal double ExposedSeconds => FinishSeconds - PrefillSeconds;

    /// <summary>Part of the wire time that prefill hides, 0 to 1.</summary>
    internal double HiddenShare => WireSeconds <= 0 ? 1 : Math.Clamp(1 - ExposedSeconds / WireSeconds, 0, 1);

    /// <param name="prefillSeconds">Without publishing.</param>
    /// <param name="bytes">On the wire.</param>
    /// <param name="units">m.</param>
    /// <param name="link">The link.</param>
    /// <param name="stallSeconds">What publishing one unit costs prefill itself; nothing where another thread does it.</param>
    /// <param name="messageBytes">Size of the messages that a unit is cut into; infinite for one.</param>
    internal static PipelinedTransfer Of(double prefillSeconds, double bytes, int units, TransferTime link, double stallSeconds = 0, double messageBytes = double.PositiveInfinity)
    {
        double prefill = prefillSeconds + (units > 1 ? units * stallSeconds : 0), c = prefill / units, x = link.UnitSeconds(bytes / units, messageBytes);
        return new PipelinedTransfer(units, prefillSeconds, units * x, x <= c ? prefill + x : c + units * x);
    }

    /// <summary>The number of units up to <paramref name="mostUnits"/> that finishes first; 1 means that splitting does not pay.</summary>
    internal static PipelinedTransfer Best(double prefillSeconds, double bytes, int mostUnits, TransferTime link, double stallSeconds = 0, double messageBytes = double.PositiveInfinity)
    {
        PipelinedTransfer best = Of(prefillSeconds, bytes, 1, link, stallSeconds, messageBytes);
        for (int units = 2; units <= mostUnits; units++)
        {
            PipelinedTransfer other = Of(prefillSeconds, bytes, units, link, stallSeconds, messageBytes);
            if (other.FinishSeconds < best.FinishSeconds) best = other;
        }

        return best;
    }

    /// <summary>The closed form of <see cref="Best"/> without stalls, before rounding: m = (T - S/B) / alpha.</summary>
    internal static double BestUnits(double prefillSeconds, double bytes, TransferTime link) => (prefillSeconds - bytes / link.BytesPerSecond) / link.MessageSeconds;

    /// <summary>The bandwidth from which everything but the last unit hides: B* = S / T.</summary>
    internal static double HidingBytesPerSecond(double prefillSeconds, double bytes) => bytes / prefillSeconds;
}
