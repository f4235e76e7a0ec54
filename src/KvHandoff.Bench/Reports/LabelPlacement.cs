namespace KvHandoff.Bench.Reports;

/// <summary>A rectangle of a picture, in its units; y grows downwards.</summary>
internal readonly record struct PictureBox(double Left, double Top, double Width, double Height)
{
    internal double Right => Left + Width;

    internal double Bottom => Top + Height;

    internal bool Overlaps(in PictureBox other) => Left < other.Right && other.Left < Right && Top < other.Bottom && other.Top < Bottom;

    internal bool Holds(in PictureBox other) => other.Left >= Left && other.Right <= Right && other.Top >= Top && other.Bottom <= Bottom;
}

/// <summary>Finds a place for the label of each point, beside it where there is room, so that no label covers another or a point.</summary>
internal static class LabelPlacement
{
    internal const double LineHeight = 14, PointRadius = 5;

    private const double CharacterWidth = 6.6, Gap = 9, FarGap = 34, FarCost = 20, LeftCost = 3;
    private const int MostSteps = 24;

    /// <summary>What a point's mark covers.</summary>
    internal static PictureBox PointBox(double x, double y) => new(x - PointRadius, y - PointRadius, 2 * PointRadius, 2 * PointRadius);

    internal static double WidthOf(string text) => text.Length * CharacterWidth;

    /// <summary>Box of each label, in the order of the points; null where the frame has no room left.</summary>
    internal static PictureBox?[] Place(IReadOnlyList<(double X, double Y, string Text)> points, IReadOnlyList<PictureBox> taken, PictureBox frame)
    {
        List<PictureBox> occupied = [.. taken, .. points.Select(p => PointBox(p.X, p.Y))];
        var places = new PictureBox?[points.Count];
        // From top to bottom, so that the lines from labels to points of one column do not cross.
        foreach (int i in Enumerable.Range(0, points.Count).OrderBy(i => points[i].Y).ThenBy(i => points[i].X))
        {
            PictureBox best = default;
            double bestCost = double.PositiveInfinity;
            foreach ((PictureBox box, double cost) in Candidates(points[i].X, points[i].Y, WidthOf(points[i].Text)))
            {
                if (cost >= bestCost || !frame.Holds(box) || occupied.Any(o => o.Overlaps(box))) continue;
                (best, bestCost) = (box, cost);
            }

            if (double.IsPositiveInfinity(bestCost)) continue;
            places[i] = best;
            occupied.Add(best);
        }

        return places;
    }

    private static IEnumerable<(PictureBox Box, double Cost)> Candidates(double x, double y, double width)
    {
        for (int step = -MostSteps; step <= MostSteps; step++)
        {
            double top = y - LineHeight / 2 + step * LineHeight / 2, away = Math.Abs(step) * LineHeight / 2;
            yield return (new PictureBox(x + Gap, top, width, LineHeight), away);
            yield return (new PictureBox(x - Gap - width, top, width, LineHeight), away + LeftCost);
            yield return (new PictureBox(x + FarGap, top, width, LineHeight), away + FarCost);
            yield return (new PictureBox(x - FarGap - width, top, width, LineHeight), away + FarCost + LeftCost);
        }
    }
}
