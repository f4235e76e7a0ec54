namespace KvHandoff.Bench.Charts;

/// <summary>A chart is drawn anew for each width, so that its text never shrinks with it.</summary>
internal enum ChartSize
{
    /// <summary>A telephone.</summary>
    Small,

    /// <summary>Half a page.</summary>
    Medium,

    /// <summary>The whole width of a page.</summary>
    Large,
}

internal static class ChartSizes
{
    internal static double Width(this ChartSize size) => size switch { ChartSize.Small => 344, ChartSize.Medium => 580, _ => 1180 };

    /// <summary>For names of elements.</summary>
    internal static string Letter(this ChartSize size) => size switch { ChartSize.Small => "s", ChartSize.Medium => "m", _ => "l" };
}
