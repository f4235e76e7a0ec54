using System.Globalization;
using System.Net;
using System.Text;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Charts;

/// <summary>
/// A picture in the making: shapes with the classes of <see cref="ChartTheme"/>, text escaped, numbers finite. Its units are CSS pixels at the width that
/// it is drawn for, so that text keeps its size.
/// </summary>
/// <param name="id">Unique in its document; names of hatch patterns begin with it.</param>
/// <param name="width">Units.</param>
/// <param name="about">What a reader who cannot see it is told.</param>
internal sealed class SvgCanvas(string id, double width, string about)
{
    internal const double TextSize = 12, LineHeight = 15;

    // A little more than most fonts need: labels rather stand apart than touch.
    private const double CharacterWidth = 6.7;

    private readonly StringBuilder _shapes = new();
    private readonly SortedSet<int> _hatches = [];

    internal double Width => width;

    internal static double WidthOf(string text) => text.Length * CharacterWidth;

    /// <summary>The text, or its beginning with an ellipsis where there is no room.</summary>
    internal static string Fit(string text, double room)
    {
        int most = Math.Max(2, (int)(room / CharacterWidth));
        return text.Length <= most ? text : string.Concat(text.AsSpan(0, most - 1), "…");
    }

    /// <summary>Any text as XML, without characters that XML forbids.</summary>
    internal static string Escape(string text)
    {
        if (text.Any(c => !System.Xml.XmlConvert.IsXmlChar(c))) text = string.Concat(text.Select(c => System.Xml.XmlConvert.IsXmlChar(c) ? c : '\uFFFD'));
        return WebUtility.HtmlEncode(text);
    }

    internal void Line(double x1, double y1, double x2, double y2, string look) => _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<line class=\"{look}\" x1=\"{N(x1)}\" y1=\"{N(y1)}\" x2=\"{N(x2)}\" y2=\"{N(y2)}\" />\n"));

    internal void Text(double x, double y, string text, string look = "tick", string anchor = "start", string? title = null) =>
        _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<text class=\"{look}\" x=\"{N(x)}\" y=\"{N(y)}\"{(anchor == "start" ? "" : $" text-anchor=\"{anchor}\"")}>{Escape(text)}{Title(title)}</text>\n"));

    internal void Rectangle(in PictureBox box, string look, string? title = null, string? fill = null) =>
        _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<rect class=\"{look}\"{(fill is null ? "" : $" fill=\"{fill}\"")} x=\"{N(box.Left)}\" y=\"{N(box.Top)}\" width=\"{N(Math.Max(0, box.Width))}\" height=\"{N(Math.Max(0, box.Height))}\">{Title(title)}</rect>\n"));

    /// <summary>A filled box of a colour, with a hatch over it for readers who cannot tell colours apart.</summary>
    internal void Bar(in PictureBox box, int colour, Hatch hatch, string? title = null)
    {
        Rectangle(box, $"c{colour}", title);
        if (hatch == Hatch.None) return;
        _hatches.Add((int)hatch);
        _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<rect class=\"over\" fill=\"url(#{id}-h{(int)hatch})\" x=\"{N(box.Left)}\" y=\"{N(box.Top)}\" width=\"{N(Math.Max(0, box.Width))}\" height=\"{N(Math.Max(0, box.Height))}\" />\n"));
    }

    internal void Circle(double x, double y, double radius, string look, string? title = null) => _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<circle class=\"{look}\" cx=\"{N(x)}\" cy=\"{N(y)}\" r=\"{N(radius)}\">{Title(title)}</circle>\n"));

    /// <summary>A diamond: never taken for a circle that is a sample.</summary>
    internal void Diamond(double x, double y, double radius, string look, string? title = null) =>
        _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<path class=\"{look}\" d=\"M{N(x)} {N(y - radius)}L{N(x + radius)} {N(y)}L{N(x)} {N(y + radius)}L{N(x - radius)} {N(y)}Z\">{Title(title)}</path>\n"));

    internal void Polyline(IEnumerable<(double X, double Y)> points, string look, string? title = null)
    {
        string text = string.Join(' ', points.Select(p => $"{N(p.X)},{N(p.Y)}"));
        if (text.Contains(' ')) _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<polyline class=\"{look}\" points=\"{text}\">{Title(title)}</polyline>\n"));
    }

    internal void Polygon(IEnumerable<(double X, double Y)> points, string look) => _shapes.Append(string.Create(CultureInfo.InvariantCulture, $"<polygon class=\"{look}\" points=\"{string.Join(' ', points.Select(p => $"{N(p.X)},{N(p.Y)}"))}\" />\n"));

    /// <summary>The picture, as high as it turned out to be.</summary>
    internal string Close(double height)
    {
        var picture = new StringBuilder();
        picture.Append(CultureInfo.InvariantCulture, $"<svg class=\"plot\" id=\"{Escape(id)}\" viewBox=\"0 0 {N(width)} {N(height)}\" role=\"img\" aria-label=\"{Escape(about)}\">\n");
        if (_hatches.Count > 0) picture.Append("<defs>").AppendJoin("", _hatches.Select(h => HatchPattern.Define($"{id}-h{h}", (Hatch)h))).Append("</defs>\n");
        return picture.Append(_shapes).Append("</svg>\n").ToString();
    }

    private static string Title(string? title) => title is null ? "" : $"<title>{Escape(title)}</title>";

    // A coordinate that is no number would leave the picture blank in silence.
    private static string N(double value) => double.IsFinite(value) ? value.ToString("0.##", CultureInfo.InvariantCulture) : throw new ArgumentException($"A coordinate is {value}; only finite ones can be drawn.");
}
