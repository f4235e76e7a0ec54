using System.Globalization;

namespace KvHandoff.Bench.Charts;

/// <summary>Numbers as charts and tables write them: three significant figures or so, never in scientific notation.</summary>
internal static class ChartNumber
{
    /// <summary>What stands for a value that is not known.</summary>
    internal const string Unknown = "–";

    internal static string Short(double? value) => value is { } v && double.IsFinite(v) ? v.ToString(Format(Math.Abs(v)), CultureInfo.InvariantCulture) : Unknown;

    /// <summary>Seconds in the unit that suits them.</summary>
    internal static string Seconds(double? seconds)
    {
        if (seconds is not { } s || !double.IsFinite(s)) return Unknown;
        (double factor, string unit) = TimeUnit(Math.Abs(s));
        return s == 0 ? "0 s" : $"{Short(s * factor)} {unit}";
    }

    /// <summary>Factor and name of the unit in which times up to so many seconds read well.</summary>
    internal static (double Factor, string Name) TimeUnit(double mostSeconds) => mostSeconds switch
    {
        >= 1 or <= 0 => (1, "s"),
        >= 1e-3 => (1e3, "ms"),
        _ => (1e6, "µs"),
    };

    internal static string Bytes(double? bytes)
    {
        if (bytes is not { } b || !double.IsFinite(b)) return Unknown;
        (double factor, string unit) = Math.Abs(b) switch { >= 1e12 => (1e-12, "TB"), >= 1e9 => (1e-9, "GB"), >= 1e6 => (1e-6, "MB"), >= 1e3 => (1e-3, "kB"), _ => (1, "B") };
        return $"{Short(b * factor)} {unit}";
    }

    internal static string Percent(double? percent) => percent is { } p && double.IsFinite(p) ? Short(p) + " %" : Unknown;

    /// <summary>A share of 0 to 1 in percent.</summary>
    internal static string Share(double? share) => Percent(share * 100);

    /// <summary>By its unit: "s", "tok/s", "%", "B", "tok".</summary>
    internal static string InUnit(double? value, string unit) => unit switch
    {
        "s" => Seconds(value),
        "B" => Bytes(value),
        "%" => Percent(value),
        _ => value is null ? Unknown : $"{Short(value)} {unit}".TrimEnd(),
    };

    private static string Format(double magnitude) => magnitude switch { >= 100 => "#,0", >= 10 => "0.#", >= 1 => "0.##", >= 0.1 => "0.###", 0 => "0", >= 0.01 => "0.####", >= 0.001 => "0.#####", _ => "0.#######" };
}
