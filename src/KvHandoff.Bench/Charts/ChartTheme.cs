using System.Text;

namespace KvHandoff.Bench.Charts;

/// <summary>
/// Colours of pages and charts, each for light and for dark. Series colours differ in lightness too, keep 3:1 against the page, and are told apart with any
/// form of colour blindness; text colours keep 4.5:1.
/// </summary>
internal static class ChartTheme
{
    private static readonly (string Name, string Light, string Dark)[] Colours =
    [
        ("ink", "#1b1f24", "#e6edf3"), ("soft", "#57606a", "#9aa4af"), ("line", "#d0d7de", "#3d444d"), ("page", "#ffffff", "#0d1117"), ("stripe", "#f6f8fa", "#151b23"), ("raised", "#ffffff", "#131922"),
        ("good", "#1a7f37", "#3fb950"), ("bad", "#c0212c", "#ff7b72"), ("warn", "#8a5a00", "#e3b341"), ("native", "#0969da", "#58a6ff"), ("managed", "#bc4c00", "#f0883e"), ("focus", "#0969da", "#79c0ff"),
        ("c0", "#0068a8", "#56a8e8"), ("c1", "#d55e00", "#f59a4c"), ("c2", "#00865f", "#3fcf9e"), ("c3", "#7a48b5", "#c4a1f2"), ("c4", "#a87900", "#e8c547"), ("c5", "#79828c", "#8a939d"), ("c6", "#b8408c", "#f393cb"), ("c7", "#14808a", "#5bc9d2"),
    ];

    /// <summary>Looks of what a chart is made of; colours by name.</summary>
    internal const string Shapes = """
        .plot { display: block; width: 100%; height: auto; overflow: visible; }
        .plot text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
        .plot .strong, .plot .value, .plot .mark { fill: var(--ink); } .plot .name { font-weight: 600; fill: var(--ink); }
        .plot .value, .plot .mark { paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; }
        .plot line, .plot polyline, .plot polygon { vector-effect: non-scaling-stroke; }
        .plot .grid { stroke: var(--line); stroke-width: 0.75; } .plot .axis { stroke: var(--soft); stroke-width: 1; } .plot .cap { stroke: var(--ink); stroke-width: 1.25; }
        .plot .rule { stroke: var(--ink); stroke-width: 1.25; stroke-dasharray: 5 3; } .plot .whisker { stroke: var(--ink); stroke-width: 1.25; } .plot .median { stroke: var(--ink); stroke-width: 2.25; } .plot .box { fill-opacity: 0.4; stroke-width: 1.5; }
        .plot .over { pointer-events: none; } .plot .stripe { stroke: var(--page); stroke-width: 2.2; stroke-opacity: 0.62; } .plot .dot { fill: var(--page); fill-opacity: 0.7; }
        .plot .empty { fill: var(--stripe); stroke: var(--line); stroke-width: 1; } .plot .backing { fill: var(--raised); } .plot .mean { fill: var(--page); stroke: var(--ink); stroke-width: 1.5; } .plot .failed { fill: var(--bad); }
        .plot .sample { fill: var(--ink); fill-opacity: 0.45; } .plot .outlier { fill: none; stroke: var(--ink); stroke-width: 1.25; } .plot .cell { stroke: var(--page); stroke-width: 2; }
        .plot .onlight { fill: #1b1f24; } .plot .ondark { fill: #ffffff; } .plot .trace { fill: none; stroke-width: 2; stroke-linejoin: round; } .plot .dashed { stroke-dasharray: 6 4; } .plot .dots { stroke-dasharray: 2 3; }
        .plot .band { fill-opacity: 0.16; stroke: none; } .plot .faint { fill-opacity: 0.35; }
        """;

    /// <summary>Series colours: fill "c", stroke "k".</summary>
    internal static string Series { get; } = string.Concat(Enumerable.Range(0, 8).Select(i => $".plot .c{i}, i.c{i} {{ fill: var(--c{i}); background: var(--c{i}); }} .plot .k{i} {{ stroke: var(--c{i}); }}\n"));

    /// <summary>The colours of one theme as custom properties.</summary>
    internal static string Variables(bool isDark, bool isFinal = false)
    {
        var text = new StringBuilder();
        foreach ((string name, string light, string dark) in Colours) text.Append($"--{name}: {(isDark ? dark : light)}{(isFinal ? " !important" : "")}; ");
        return text.ToString().TrimEnd();
    }

    /// <summary>A chart as a file of its own: light, colours written out, because not every program that shows SVG knows custom properties.</summary>
    internal static string Standalone(string svg)
    {
        var style = new StringBuilder(Shapes).Append('\n').Append(Series);
        foreach ((string name, string light, _) in Colours) style.Replace($"var(--{name})", light);
        int open = svg.IndexOf('>') + 1;
        double[] box = [.. svg[..open].Split("viewBox=\"")[1].Split('"')[0].Split(' ').Select(v => double.Parse(v, System.Globalization.CultureInfo.InvariantCulture))];
        string size = string.Create(System.Globalization.CultureInfo.InvariantCulture, $" xmlns=\"http://www.w3.org/2000/svg\" width=\"{box[2]}\" height=\"{box[3]}\"");
        return $"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{svg[..4]}{size}{svg[4..open]}\n<style>\n{style}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\" />{svg[open..]}";
    }
}
