namespace KvHandoff.Bench.Reports;

/// <summary>Two logarithmic axes, in powers of two, over a frame of the picture.</summary>
/// <param name="Frame">Where they are drawn.</param>
/// <param name="LeastIntensity">Multiply-adds per byte at the left.</param>
/// <param name="MostIntensity">At the right.</param>
/// <param name="LeastRate">1e9 multiply-adds per second at the bottom.</param>
/// <param name="MostRate">At the top.</param>
internal sealed record RooflineAxes(PictureBox Frame, double LeastIntensity, double MostIntensity, double LeastRate, double MostRate)
{
    // Room for names beyond the last roof.
    private const double Headroom = 1.3;

    internal IEnumerable<double> IntensityTicks => Ticks(LeastIntensity, MostIntensity);

    internal IEnumerable<double> RateTicks => Ticks(LeastRate, MostRate);

    /// <summary>Axes that show all points, and the ridge of every roof.</summary>
    internal static RooflineAxes Around(Roofline roofline, PictureBox frame)
    {
        double[] x = [.. roofline.Points.Select(p => p.Intensity), .. roofline.Roofs.Select(r => r.PeakGigaMultiplyAdds / r.ReadGbps)];
        double[] y = [.. roofline.Points.Select(p => p.GigaMultiplyAdds), .. roofline.Roofs.Select(r => r.PeakGigaMultiplyAdds)];
        return new RooflineAxes(frame, Floor(x.Min() / 2), Ceiling(x.Max() * 2), Floor(y.Min() / Headroom), y.Max() * Headroom);
    }

    internal double X(double intensity) => Frame.Left + Frame.Width * Math.Log(intensity / LeastIntensity) / Math.Log(MostIntensity / LeastIntensity);

    internal double Y(double rate) => Frame.Bottom - Frame.Height * Math.Log(rate / LeastRate) / Math.Log(MostRate / LeastRate);

    private static IEnumerable<double> Ticks(double least, double most)
    {
        for (double tick = Ceiling(least); tick <= most; tick *= 2) yield return tick;
    }

    private static double Floor(double value) => Math.Pow(2, Math.Floor(Math.Log2(value)));

    private static double Ceiling(double value) => Math.Pow(2, Math.Ceiling(Math.Log2(value)));
}
