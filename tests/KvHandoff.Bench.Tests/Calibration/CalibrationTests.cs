using System.Text.Json;
using System.Xml.Linq;
using KvHandoff.Bench.Calibration;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Tests.Commands;

namespace KvHandoff.Bench.Tests.Calibration;

/// <summary>The model against measured handoffs of this library.</summary>
public sealed class CalibrationTests
{
    private static readonly string Measured = Path.Combine(AppContext.BaseDirectory, "Calibration", "sweep-amd-zen3.json");

    /// <summary>A sweep that this program measured, its sizes in turns: half of them fitted, the other half predicted.</summary>
    [Fact]
    public void Held_out_sizes_of_a_measured_sweep_are_predicted_within_15_percent()
    {
        CalibrationSection section = SweepCalibration.Read(Measured, File.ReadAllText(Measured));
        Assert.Equal(["shm", "tcp", "unix"], section.Fits.Select(f => f.Transport).Order());
        Assert.All(section.Fits, f => Assert.InRange(f.HeldOutMedianError, 0, 0.15));
        Assert.All(section.Fits, f => Assert.Equal(7, section.Rows.Count(r => r.Transport == f.Transport && r.HeldOut)));
        // Not one of them had a say in its own prediction.
        foreach (CalibrationFitRow fit in section.Fits)
        {
            CalibrationRow[] own = [.. section.Rows.Where(r => r.Transport == fit.Transport)];
            LineFit again = LineFit.Of([.. own.Where(r => !r.HeldOut).Select(r => ((double)r.Bytes, r.MeasuredSeconds))]);
            Assert.All(own, r => Assert.Equal(again.Seconds(r.Bytes), r.PredictedSeconds, 12));
            double[] errors = [.. own.Where(r => r.HeldOut).Select(r => Math.Abs(r.PredictedSeconds / r.MeasuredSeconds - 1)).Order()];
            Assert.Equal(errors[errors.Length / 2], fit.HeldOutMedianError, 12);
            Assert.Equal(errors[^1], fit.HeldOutWorstError, 12);
        }
    }

    [Fact]
    public async Task The_page_shows_the_model_against_what_was_measured()
    {
        using var scratch = new Scratch();
        (int code, _, string errors) = await CommandRun.RunAsync("plan", "--calibrate", Measured, "--output", scratch.FullName, "--quiet");
        Assert.True(code == 0, errors);
        XElement page = XDocument.Parse(File.ReadAllText(scratch.File("plan.html"))["<!DOCTYPE html>".Length..]).Root!;
        Assert.Contains("calibration", page.Descendants("h2").Select(h => h.Attribute("id")!.Value));
        XElement picture = Assert.Single(page.Descendants("svg"), s => s.Attribute("aria-label")!.Value.StartsWith("Measured times", StringComparison.Ordinal));
        Assert.Equal(3 * 14, picture.Descendants("circle").Count());
        Assert.Equal(3, picture.Descendants("polyline").Count());
        JsonElement json = JsonDocument.Parse(File.ReadAllText(scratch.File("plan.json"))).RootElement.GetProperty("calibration");
        Assert.Equal(42, json.GetProperty("rows").GetArrayLength());
    }

    [Fact]
    public async Task A_plan_may_be_made_with_a_fitted_transport()
    {
        (int code, string output, string errors) = await CommandRun.RunAsync("plan", "--calibrate", Measured, "--link", "unix", "--tokens", "3100", "--units", "1", "--json");
        Assert.True(code == 0, errors);
        JsonElement plan = JsonDocument.Parse(output).RootElement, fit = plan.GetProperty("calibration").GetProperty("fits").EnumerateArray().Single(f => f.GetProperty("transport").GetString() == "unix");
        double bandwidth = fit.TryGetProperty("bytes_per_second_beyond", out JsonElement beyond) ? beyond.GetDouble() : fit.GetProperty("bytes_per_second").GetDouble();
        Assert.Equal(fit.GetProperty("latency_seconds").GetDouble() + 1_015_808_000 / bandwidth, plan.GetProperty("answer").GetProperty("exposed_seconds").GetDouble(), 1e-6);
    }

    [Fact]
    public void A_line_is_found_again_and_a_knee_where_there_is_one()
    {
        double[] sizes = [.. Enumerable.Range(0, 12).Select(i => 1e5 * Math.Pow(2, i))];
        LineFit straight = LineFit.Of([.. sizes.Select(s => (s, 50e-6 + s / 2e9))]);
        Assert.Equal(50e-6, straight.LatencySeconds, 1e-10);
        Assert.InRange(straight.BytesPerSecond, 2e9 * (1 - 1e-9), 2e9 * (1 + 1e-9));
        Assert.Equal(double.PositiveInfinity, straight.KneeBytes);

        var bent = new LineFit(50e-6, 1e9, 6.4e6, 4e9);
        LineFit found = LineFit.Of([.. sizes.Select(s => (s, bent.Seconds(s)))]);
        Assert.Equal(6.4e6, found.KneeBytes);
        Assert.InRange(found.BytesPerSecond, 1e9 * (1 - 1e-6), 1e9 * (1 + 1e-6));
        Assert.InRange(found.BytesPerSecondBeyond, 4e9 * (1 - 1e-6), 4e9 * (1 + 1e-6));

        // Noise of a few percent bends nothing.
        var random = new KvHandoff.Bench.Simulation.SimulationRandom(3);
        LineFit noisy = LineFit.Of([.. sizes.Select(s => (s, (50e-6 + s / 2e9) * (1 + 0.02 * (random.Next() - 0.5))))]);
        Assert.InRange(noisy.BytesPerSecond, 1.9e9, 2.1e9);
        Assert.Throws<ArgumentException>(() => LineFit.Of([(1, 1), (1, 2)]));
        Assert.Equal(0, LineFit.Of([(1e6, 1e-3), (2e6, 2.2e-3)]).LatencySeconds);
    }

    [Theory]
    [InlineData("""{"schema":"other/1"}""", "schema", "kvhandoff.bench/1")]
    [InlineData("""{"schema":"kvhandoff.bench/1"}""", "sweep", "handoff --sweep --json")]
    [InlineData("""{"schema":"kvhandoff.bench/1","sweep":[]}""", "sweep", "handoff --sweep --json")]
    [InlineData("""{"schema":"kvhandoff.bench/1","sweep":[{"transport":"tcp","bytes":0,"p50_us":5}]}""", "sweep", "above 0")]
    [InlineData("""{"schema":"kvhandoff.bench/1","sweep":[{"transport":"tcp","bytes":1,"p50_us":5},{"transport":"tcp","bytes":2,"p50_us":5}]}""", "2 sizes over tcp", "4 or more")]
    [InlineData("""{"schema":"kvhandoff.bench/1","sweep":[{"bytes":"x"}]}""", "no JSON of a sweep", "")]
    [InlineData("[", "no JSON", "")]
    public void A_wrong_sweep_is_refused(string json, string field, string allowed)
    {
        string message = Assert.Throws<InvalidDataException>(() => SweepCalibration.Read("s.json", json)).Message;
        Assert.StartsWith("s.json: ", message, StringComparison.Ordinal);
        Assert.Contains(field, message, StringComparison.Ordinal);
        Assert.Contains(allowed, message, StringComparison.Ordinal);
    }

    [Fact]
    public void Measured_rates_take_the_place_of_the_shipped_ones()
    {
        HardwareCatalogue catalogue = HardwareCatalogue.Default();
        KernelRow Row(string name, double gbps) => new() { Name = name, Gbps = gbps, Isa = "test", Implementation = "test", Limit = "memcpy", Counts = "BF16", WorkingSet = "memory", Data = "test" };
        var kernels = new KernelSummary
        {
            Environment = new EnvironmentSection { Cpu = "test", Cores = 1, Os = "test", Dotnet = "test", Isa = "test", Version = "test", Time = "test" },
            Clock = "wall",
            Kernels = [Row("exponent-window encode, model K", 4), Row("exponent-window encode, model V", 12), Row("exponent-window decode, model K", 8), Row("exponent-window decode, model V", 8), Row("pack bf16->e4m3 token-head", 20)],
        };
        Assert.Equal(["ew3"], CodecRates.Apply(catalogue, kernels, "here"));
        // Half of the bytes at 4, half at 12.
        Assert.Equal(6e9, catalogue.Codecs["ew3"].EncodeBytesPerSecond.Value, 1);
        Assert.Equal("here", catalogue.Codecs["ew3"].DecodeBytesPerSecond.Source);
        // FP8 has no decode rate there: both stay.
        Assert.Equal(HardwareCatalogue.Default().Codecs["fp8"], catalogue.Codecs["fp8"]);
        // Every kernel that is asked for exists.
        Assert.Equal(12, CodecRates.Needed.Count);
    }
}
