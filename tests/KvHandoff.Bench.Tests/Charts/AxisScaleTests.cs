using KvHandoff.Bench.Charts;

namespace KvHandoff.Bench.Tests.Charts;

/// <summary>Scales hold all values, and their ticks are round.</summary>
public sealed class AxisScaleTests
{
    [Fact]
    public void Ticks_are_round_and_within_and_the_scale_holds_all_values()
    {
        var random = new Random(11);
        for (int i = 0; i < 2000; i++)
        {
            double size = Math.Pow(10, random.Next(-7, 10));
            double[] values = [.. Enumerable.Range(0, 1 + random.Next(5)).Select(_ => (random.NextDouble() - 0.3) * size)];
            foreach (AxisScale scale in new[] { AxisScale.Around(values), AxisScale.FromZero(values.Select(Math.Abs)) })
            {
                Assert.True(scale.Most > scale.Least);
                IReadOnlyList<double> ticks = scale.Ticks();
                Assert.InRange(ticks.Count, 2, 12);
                Assert.All(ticks, t => Assert.InRange(scale.At(t), -1e-9, 1 + 1e-9));
                double step = ticks[1] - ticks[0], digits = step / Math.Pow(10, Math.Floor(Math.Log10(step) + 1e-9));
                Assert.Contains(Math.Round(digits, 6), new[] { 1.0, 2, 5, 10 });
            }

            Assert.All(values, v => Assert.True(AxisScale.Around(values).Holds(v)));
            Assert.All(values, v => Assert.True(AxisScale.FromZero(values.Select(Math.Abs)).Holds(Math.Abs(v))));
        }
    }

    [Theory]
    [InlineData(1, 8, "1 2 5")]
    [InlineData(1, 1000, "1 10 100 1000")]
    [InlineData(0.9, 1.3, "1")]
    public void Logarithmic_ticks_are_decades_or_parts_of_them(double least, double most, string some)
    {
        var scale = new AxisScale(least, most, true);
        IReadOnlyList<double> ticks = scale.Ticks();
        Assert.All(some.Split(' ').Select(double.Parse), t => Assert.Contains(ticks, x => Math.Abs(x / t - 1) < 1e-9));
        Assert.Equal(0.5, scale.At(Math.Sqrt(least * most)), 9);
    }

    [Fact]
    public void Without_values_or_with_equal_ones_there_is_still_a_scale()
    {
        Assert.Equal(new AxisScale(0, 1), AxisScale.FromZero([]));
        Assert.Equal(new AxisScale(0, 1), AxisScale.FromZero([0, 0, double.NaN]));
        Assert.True(AxisScale.Around([3, 3]).Holds(3));
        Assert.True(AxisScale.Around([0]).Holds(0));
        Assert.Equal(new AxisScale(1, 10, true), AxisScale.Decades([0, -1]));
    }

    [Theory]
    [InlineData(0.00112, "1.12 ms")]
    [InlineData(1.5, "1.5 s")]
    [InlineData(0.0000421, "42.1 µs")]
    [InlineData(0.0, "0 s")]
    [InlineData(double.NaN, "–")]
    public void Seconds_are_written_in_the_unit_that_suits_them(double seconds, string text) => Assert.Equal(text, ChartNumber.Seconds(seconds));

    [Fact]
    public void Numbers_have_three_digits_and_no_exponent()
    {
        Assert.Equal(["1,235", "12.3", "1.23", "0.123", "0.0012", "–", "–"], new double?[] { 1234.6, 12.34, 1.234, 0.1234, 0.0012, null, double.PositiveInfinity }.Select(v => ChartNumber.Short(v)));
        Assert.Equal("1.02 GB", ChartNumber.Bytes(1.0158e9));
    }
}
