using KvHandoff.Bench.Charts;

namespace KvHandoff.Bench.Reports;

/// <summary>A chart of a page: drawn for every width it may get, with its numbers as a table; words where there is nothing to draw.</summary>
/// <param name="Stem">Name of its file, and of its element after "fig-".</param>
/// <param name="Title">What it shows.</param>
/// <param name="Note">How to read it.</param>
/// <param name="Draw">Makes the picture of a size; null where there is nothing to draw.</param>
/// <param name="Data">The same as a table.</param>
internal sealed record ReportFigure(string Stem, string Title, string Note, Func<string, ChartSize, string>? Draw, ReportTable? Data = null)
{
    /// <summary>Takes the whole width of the page.</summary>
    internal bool IsWhole { get; init; }

    /// <summary>Why there is no picture.</summary>
    internal string Words { get; init; } = "";

    internal static ReportFigure Without(string stem, string title, string words) => new(stem, title, "", null) { Words = words };

    /// <summary>The picture of one size, with ids that no other has.</summary>
    internal string Picture(ChartSize size) => Draw!($"{Stem}-{size.Letter()}", size);
}
