using System.Globalization;
using System.Xml.Linq;

namespace KvHandoff.Bench.Tests.Charts;

/// <summary>Reads values off a picture as a person does: from the numbers written at its axis. Knows nothing of the code that drew it.</summary>
internal sealed class DrawnAxis
{
    private readonly (double Value, double At)[] _ticks;

    private DrawnAxis(IEnumerable<(double, double)> ticks) => _ticks = [.. ticks.Order()];

    /// <summary>Numbers at the left, which end at the axis; each grid line runs through the middle of its number.</summary>
    internal static DrawnAxis Upright(XElement picture) => new(Texts(picture, "end").Select(t => (Value(t), N(t, "y") - 4)));

    /// <summary>Numbers below, centred under their grid lines.</summary>
    internal static DrawnAxis Level(XElement picture, double scale = 1) => new(Texts(picture, "middle").Where(t => (string?)t.Attribute("class") == "tick").GroupBy(t => N(t, "y")).OrderByDescending(g => g.Count()).First().Select(t => (Value(t) * scale, N(t, "x"))));

    internal int Count => _ticks.Length;

    /// <summary>The value at a coordinate.</summary>
    internal double Read(double at)
    {
        ((double v0, double a0), (double v1, double a1)) = (_ticks[0], _ticks[^1]);
        return v0 + (at - a0) / (a1 - a0) * (v1 - v0);
    }

    /// <summary>The same where the axis is logarithmic.</summary>
    internal double ReadLogarithmic(double at)
    {
        ((double v0, double a0), (double v1, double a1)) = (_ticks[0], _ticks[^1]);
        return v0 * Math.Pow(v1 / v0, (at - a0) / (a1 - a0));
    }

    internal static double N(XElement element, string attribute) => double.Parse(element.Attribute(attribute)!.Value, CultureInfo.InvariantCulture);

    internal static XElement[] Of(XElement picture, string name, string look) => [.. picture.Elements(name).Where(e => ((string?)e.Attribute("class"))?.Split(' ').Contains(look) == true)];

    internal static string TitleOf(XElement shape) => shape.Element("title")?.Value ?? "";

    internal static (double X, double Y)[] Points(XElement line) => [.. line.Attribute("points")!.Value.Split(' ').Select(p => p.Split(',')).Select(p => (double.Parse(p[0], CultureInfo.InvariantCulture), double.Parse(p[1], CultureInfo.InvariantCulture)))];

    private static IEnumerable<XElement> Texts(XElement picture, string anchor) => picture.Elements("text").Where(t => (string?)t.Attribute("text-anchor") == anchor && double.TryParse(t.Value.Split(' ')[0].TrimEnd('%'), NumberStyles.Number, CultureInfo.InvariantCulture, out _));

    private static double Value(XElement text) => double.Parse(text.Value.Split(' ')[0], NumberStyles.Number, CultureInfo.InvariantCulture);
}
