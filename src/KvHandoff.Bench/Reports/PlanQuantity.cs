using System.Globalization;

namespace KvHandoff.Bench.Reports;

/// <summary>Quantities as people read them: three digits and the unit that fits.</summary>
internal static class PlanQuantity
{
    private const string None = "-";

    internal static string Seconds(double seconds) => Scaled(seconds, [(86_400, "d"), (3600, "h"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]);

    internal static string Bytes(double bytes) => Scaled(bytes, [(1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B")]);

    /// <summary>Bytes per second as the bits per second that links are named by.</summary>
    internal static string BitRate(double bytesPerSecond) => Scaled(bytesPerSecond * 8, [(1e12, "Tb/s"), (1e9, "Gb/s"), (1e6, "Mb/s"), (1, "b/s")]);

    internal static string Flops(double flops) => Scaled(flops, [(1e18, "EFLOP/s"), (1e15, "PFLOP/s"), (1e12, "TFLOP/s"), (1e9, "GFLOP/s")]);

    internal static string Share(double share) => Math.Abs(share) is > 0 and < 0.0995 ? (share * 100).ToString("0.0", CultureInfo.InvariantCulture) + " %" : (share * 100).ToString("0", CultureInfo.InvariantCulture) + " %";

    internal static string Whole(double value) => !double.IsFinite(value) ? Endless(value) : value.ToString("#,0", CultureInfo.InvariantCulture);

    /// <summary>Three significant digits.</summary>
    internal static string Number(double value)
    {
        if (!double.IsFinite(value)) return Endless(value);
        double size = Math.Abs(value);
        return value.ToString(size >= 100 || size == 0 ? "#,0" : size >= 10 ? "0.0" : size >= 1 ? "0.00" : size >= 0.1 ? "0.000" : "0.####", CultureInfo.InvariantCulture);
    }

    private static string Scaled(double value, ReadOnlySpan<(double Size, string Name)> units)
    {
        if (!double.IsFinite(value)) return Endless(value);
        if (value == 0) return $"0 {units[units[0].Name == "d" ? 2 : units.Length - 1].Name}";
        foreach ((double size, string name) in units)
        {
            // Days and hours only where seconds would be long.
            double from = size > 1 && units[0].Name == "d" ? 2 * size : size;
            if (Math.Abs(value) >= from * 0.9995) return $"{Number(value / size)} {name}";
        }

        return $"{Number(value / units[^1].Size)} {units[^1].Name}";
    }

    private static string Endless(double value) => double.IsNaN(value) ? None : "unlimited";
}
