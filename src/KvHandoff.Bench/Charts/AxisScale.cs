namespace KvHandoff.Bench.Charts;

/// <summary>Maps values to a share of an axis, 0 at its beginning and 1 at its end.</summary>
/// <param name="Least">Value at the beginning.</param>
/// <param name="Most">Value at the end, greater than <paramref name="Least"/>.</param>
/// <param name="IsLogarithmic">Equal factors instead of equal steps; both ends are then above 0.</param>
internal sealed record AxisScale(double Least, double Most, bool IsLogarithmic = false)
{
    /// <summary>From 0 to a round number that no value exceeds. Without a positive value: 0 to 1.</summary>
    internal static AxisScale FromZero(IEnumerable<double> values, int ticks = 5)
    {
        double most = values.Where(double.IsFinite).DefaultIfEmpty(0).Max();
        if (!(most > 0)) return new AxisScale(0, 1);
        double step = Step(most, ticks);
        return new AxisScale(0, Math.Ceiling(most / step * (1 - 1e-12)) * step);
    }

    /// <summary>Round numbers around all values; 0 belongs to them when some values lie on either side.</summary>
    internal static AxisScale Around(IEnumerable<double> values, int ticks = 5)
    {
        double[] finite = [.. values.Where(double.IsFinite)];
        if (finite.Length == 0) return new AxisScale(0, 1);
        double least = finite.Min(), most = finite.Max();
        if (!(most > least)) (least, most) = least == 0 ? (-1, 1) : (least - Math.Abs(least) / 2, most + Math.Abs(most) / 2);
        double step = Step(most - least, ticks);
        return new AxisScale(Math.Floor(least / step) * step, Math.Ceiling(most / step) * step);
    }

    /// <summary>Logarithmic, with a little room at both ends; values at or below 0 are ignored.</summary>
    internal static AxisScale Decades(IEnumerable<double> values, double room = 1.25)
    {
        double[] positive = [.. values.Where(v => double.IsFinite(v) && v > 0)];
        return positive.Length == 0 ? new AxisScale(1, 10, true) : new AxisScale(positive.Min() / room, positive.Max() * room, true);
    }

    internal double At(double value) => IsLogarithmic ? Math.Log(value / Least) / Math.Log(Most / Least) : (value - Least) / (Most - Least);

    internal bool Holds(double value) => value >= Least - 1e-9 * Math.Abs(Least) && value <= Most + 1e-9 * Math.Abs(Most);

    /// <summary>Round values to write at the axis, about as many as wanted.</summary>
    internal IReadOnlyList<double> Ticks(int wanted = 5) => IsLogarithmic ? LogarithmicTicks(wanted) : LinearTicks(wanted);

    private double[] LinearTicks(int wanted)
    {
        double step = Step(Most - Least, wanted);
        var ticks = new List<double>();
        // A tick that is 0 but for rounding is written as 0.
        for (double i = Math.Ceiling(Least / step - 1e-9); i * step <= Most + step * 1e-9; i++) ticks.Add(i == 0 ? 0 : i * step);
        return [.. ticks];
    }

    private double[] LogarithmicTicks(int wanted)
    {
        double[][] choices = [[1, 2, 5], [1, 3], [1]];
        foreach (double[] within in choices)
        {
            double[] ticks = [.. Within(within, 1)];
            if (ticks.Length <= Math.Max(wanted, 2)) return ticks.Length >= 2 ? ticks : [.. Within([1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], 1)];
        }

        int decades = (int)Math.Ceiling(Math.Log10(Most / Least) / Math.Max(wanted, 2));
        return [.. Within([1], decades)];
    }

    private IEnumerable<double> Within(double[] factors, int decades)
    {
        for (double power = Math.Floor(Math.Log10(Least)); Math.Pow(10, power) <= Most; power += decades)
        {
            foreach (double factor in factors)
            {
                if (Holds(factor * Math.Pow(10, power))) yield return factor * Math.Pow(10, power);
            }
        }
    }

    // 1, 2 or 5 times a power of ten.
    private static double Step(double span, int wanted)
    {
        double rough = span / wanted, power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        foreach (double factor in (double[])[1, 2, 5])
        {
            if (factor * power >= rough * (1 - 1e-9)) return factor * power;
        }

        return 10 * power;
    }
}
