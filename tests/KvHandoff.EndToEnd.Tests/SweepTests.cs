using System.Text.Json;
using System.Xml.Linq;
using KvHandoff.Bench.Latency;
using KvHandoff.Bench.Reports;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The sweep: its rows, the line through them, and its picture.</summary>
public sealed class SweepTests
{
    [Fact]
    public void A_sweep_has_all_sizes_and_the_line_through_them()
    {
        using var scratch = new ScratchDirectory();
        (int code, string output, string errors) = BenchProgram.Run("--sweep", "--transport", "shm", "--output", scratch.FullName);
        Assert.True(code == 0, $"Exit code {code}. {output}{errors}");
        JsonElement summary = JsonDocument.Parse(File.ReadAllText(scratch.File("summary.json"))).RootElement;
        SweepRow[] rows = summary.GetProperty("sweep").Deserialize<SweepRow[]>(Summary.Options)!;
        Assert.Equal([393_216, 786_432, 1_572_864, 3_145_728, 6_291_456, 12_582_912, 25_165_824, 50_331_648, 66_846_720], rows.Select(r => r.Bytes));
        Assert.All(rows, row =>
        {
            Assert.Equal("shm", row.Transport);
            Assert.InRange(row.P50Us, 1, row.P99Us);
            Assert.Equal(row.Bytes / row.P50Us / 1e3, row.Gbps, 9);
            Assert.True(row.MessagesPerSecond > 0);
        });
        FitRow fit = Assert.Single(summary.GetProperty("fits").Deserialize<FitRow[]>(Summary.Options)!);
        Assert.Equal(LatencyFit.Of("shm", rows), fit);
        string page = File.ReadAllText(scratch.File("report.html"));
        XElement root = XDocument.Parse(page["<!DOCTYPE html>".Length..]).Root!;
        Assert.Equal(["limits", "sweep", "fits"], root.Descendants("h2").Select(h => h.Attribute("id")!.Value));
        Assert.Equal(rows.Length, root.Descendants("circle").Count());
        Assert.Empty(summary.GetProperty("transfers").EnumerateArray());
    }

    [Fact]
    public void A_line_is_found_again_and_what_lies_beside_it_is_its_residual()
    {
        SweepRow[] exact = [Row(1 << 10), Row(1 << 16), Row(1 << 20), Row(1 << 26)];
        FitRow fit = LatencyFit.Of("tcp", exact);
        Assert.Equal(50, fit.LatencyUs, 6);
        Assert.Equal(2, fit.Gbps, 6);
        Assert.Equal(0, fit.WorstResidual, 9);
        Assert.True(LatencyFit.Of("tcp", [.. exact[..3], exact[3] with { P50Us = exact[3].P50Us * 2 }]).WorstResidual > 0.1);
        Assert.Throws<ArgumentException>(() => LatencyFit.Of("tcp", exact[..1]));
    }

    [Fact]
    public void The_picture_has_every_size_at_its_place()
    {
        SweepRow[] rows = [Row(1 << 16), Row(1 << 20), Row(1 << 26), Row(1 << 16) with { Transport = "shm" }, Row(1 << 26) with { Transport = "shm", P50Us = 10_000 }];
        FitRow[] fits = [.. new[] { "tcp", "shm" }.Select(t => LatencyFit.Of(t, [.. rows.Where(r => r.Transport == t)]))];
        XElement picture = XElement.Parse(SweepSvg.Render(rows, fits));
        XElement[] circles = [.. picture.Elements("circle")];
        Assert.Equal(rows.Length, circles.Length);
        Assert.Equal(2, picture.Elements("polyline").Count());
        double X(int i) => (double)circles[i].Attribute("cx")!;
        double Y(int i) => (double)circles[i].Attribute("cy")!;
        // Logarithmic: 2^16 to 2^20 is 4 of the 10 doublings from 2^16 to 2^26; more time lies higher.
        Assert.Equal((X(1) - X(0)) / 4, (X(2) - X(0)) / 10, 1);
        Assert.True(Y(0) > Y(1) && Y(1) > Y(2) && Y(4) > Y(2));
        Assert.Equal(X(0), X(3));
    }

    // 50 us and 2 GB/s.
    private static SweepRow Row(long bytes) => new() { Transport = "tcp", Bytes = bytes, P50Us = 50 + bytes / 2e3 };
}
