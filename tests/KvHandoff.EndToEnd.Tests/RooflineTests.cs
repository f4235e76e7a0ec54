using System.Globalization;
using System.Xml.Linq;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The roofline of the report, drawn from results as the kernels' run writes them.</summary>
public sealed class RooflineTests
{
    [Fact]
    public void Roofs_are_medians_and_points_are_the_longest_steps()
    {
        Roofline roofline = Roofline.Of(Read())!;
        Assert.Equal([new Roof(1, 20, 50), new Roof(2, 30, 100)], roofline.Roofs);
        Assert.Equal(9, roofline.Points.Count);
        RooflinePoint first = roofline.Points[0];
        Assert.Equal(("bf16", true, 1, 4.0, 40.0), (first.Label, first.IsNative, first.Threads, first.Intensity, first.GigaMultiplyAdds));
        Assert.Equal("bf16 32/8/128", roofline.Points[^2].Label);
    }

    [Fact]
    public void Without_attention_there_is_no_picture()
    {
        KernelSummary summary = Read();
        Assert.Null(Roofline.Of(summary with { Kernels = [.. summary.Kernels.Select(k => k with { Attention = null })] }));
        Assert.DoesNotContain("id=\"roofline\"", HtmlReport.Render(summary with { Kernels = [] }), StringComparison.Ordinal);
    }

    [Fact]
    public void The_picture_has_every_point_at_its_place_below_its_roof()
    {
        Roofline roofline = Roofline.Of(Read())!;
        XElement picture = XElement.Parse(RooflineSvg.Render(roofline));
        XElement[] circles = [.. picture.Elements("circle")], squares = [.. picture.Elements("rect")];
        Assert.Equal(roofline.Points.Count(p => p.Threads == 1), circles.Length);
        Assert.Equal(roofline.Points.Count(p => p.Threads == 2), squares.Length);
        Assert.Equal(roofline.Points.Count, picture.Elements("text").Count(t => ((string?)t.Attribute("class"))!.StartsWith("point-name", StringComparison.Ordinal)));
        RooflinePoint[] single = [.. roofline.Points.Where(p => p.Threads == 1)];
        for (int a = 0; a < single.Length; a++)
        {
            Assert.Equal(single[a].IsNative ? "native" : "managed", (string?)circles[a].Attribute("class"));
            for (int b = 0; b < single.Length; b++)
            {
                if (single[a].Intensity < single[b].Intensity) Assert.True(Number(circles[a], "cx") < Number(circles[b], "cx"));
                if (single[a].GigaMultiplyAdds > single[b].GigaMultiplyAdds) Assert.True(Number(circles[a], "cy") < Number(circles[b], "cy"));
            }
        }

        // Start, ridge and end of the roof of one thread.
        double[][] roof = [.. ((string)picture.Elements("polyline").First().Attribute("points")!).Split(' ').Select(p => p.Split(',').Select(v => double.Parse(v, CultureInfo.InvariantCulture)).ToArray())];
        Assert.Equal(3, roof.Length);
        Assert.Equal(roof[1][1], roof[2][1]);
        Assert.All(circles, c => Assert.True(Number(c, "cy") > roof[1][1]));
    }

    [Fact]
    public void Labels_cover_neither_each_other_nor_a_point_nor_what_is_taken()
    {
        var random = new Random(5);
        (double X, double Y, string Text)[] points = [.. Enumerable.Range(0, 24).Select(i => (300.0 + i % 3 * 6, 200 + random.NextDouble() * 120, $"label of {i}"))];
        PictureBox taken = new(310, 180, 60, 40), frame = new(0, 0, 1000, 500);
        PictureBox?[] labels = LabelPlacement.Place(points, [taken], frame);
        PictureBox[] placed = [.. labels.OfType<PictureBox>()];
        Assert.Equal(points.Length, placed.Length);
        for (int i = 0; i < placed.Length; i++)
        {
            Assert.True(frame.Holds(placed[i]));
            Assert.False(taken.Overlaps(placed[i]));
            Assert.DoesNotContain(placed[..i], other => other.Overlaps(placed[i]));
            Assert.DoesNotContain(points, p => p.X > placed[i].Left && p.X < placed[i].Right && p.Y > placed[i].Top && p.Y < placed[i].Bottom);
        }
    }

    [Fact]
    public void A_label_that_finds_no_room_is_left_out()
    {
        PictureBox?[] labels = LabelPlacement.Place([(10, 10, "longer than the frame")], [], new PictureBox(0, 0, 20, 20));
        Assert.Null(Assert.Single(labels));
    }

    [Fact]
    public void The_page_is_well_formed_and_holds_tables_and_picture()
    {
        string page = HtmlReport.Render(Read());
        XElement root = XDocument.Parse(page).Root!;
        Assert.Equal(["attention", "roofline"], root.Descendants("h2").Select(h => (string)h.Attribute("id")!));
        Assert.Single(root.Descendants("svg"));
        Assert.Contains("native avx2 in use", page, StringComparison.Ordinal);
        Assert.Contains("1.50 times its tokens per second", page, StringComparison.Ordinal);
    }

    [Fact]
    public void The_report_command_makes_the_page_of_kernels_again()
    {
        using var scratch = new ScratchDirectory();
        KernelSummary results = Results();
        File.WriteAllText(scratch.File(HtmlReport.KernelsFile), results.ToJson());
        (int code, _, string errors) = BenchProgram.Run("report", "--from", scratch.File(HtmlReport.KernelsFile));
        Assert.True(code == 0, errors);
        Assert.Equal(HtmlReport.Render(results), File.ReadAllText(scratch.File("kernels.html")));
    }

    [Fact]
    public void Results_of_another_command_are_refused() =>
        Assert.Contains("'links'", Assert.Throws<InvalidDataException>(() => KernelSummary.FromJson((Results() with { Command = "links" }).ToJson())).Message, StringComparison.Ordinal);

    private static double Number(XElement element, string attribute) => (double)element.Attribute(attribute)!;

    // Written and read back, as the report command has it.
    private static KernelSummary Read() => KernelSummary.FromJson(Results().ToJson());

    private static KernelSummary Results() => new()
    {
        Environment = MachineDescription.Describe(),
        Clock = "thread-cpu",
        Attention = new AttentionSection { InUse = "native avx2", Baseline = new BaselineSection { Library = "libtorch", BestForm = "tiles", OursOverBest = 1.5 } },
        Kernels =
        [
            Row("bf16", "native avx2 bf16", 4, 40), Row("bf16", "managed rows 256", 4, 30), Row("int8", "native avx2 int8", 7.6, 42), Row("int8", "managed integer 256", 7.6, 39),
            Row("e4m3", "native avx2 fp8-e4m3", 8, 41), Row("e4m3", "managed rows 256", 8, 24, read: 22, peak: 52), Row("e4m3 static", "native avx2 fp8-e4m3", 8, 41.5, read: 18, peak: 48),
            Row("bf16", "native avx2 bf16", 2, 25, shape: "32/8/128"), Row("bf16", "native avx2 bf16", 4, 70, threads: 2, read: 30, peak: 100),
            Row("bf16", "native avx2 bf16", 4, 45, tokens: 1024),
        ],
    };

    private static KernelRow Row(string stored, string implementation, double intensity, double rate, int threads = 1, string shape = "64/8/128", int tokens = 65536, double read = 20, double peak = 50) => new()
    {
        Name = $"attention {stored} {shape}",
        Isa = "avx2",
        Implementation = implementation,
        Gbps = rate / intensity,
        Limit = "fma",
        Counts = "K and V as stored",
        CountedBytes = 1_000_000,
        WorkingSet = "tokens",
        Data = "none",
        Attention = new AttentionFigures
        {
            Shape = shape,
            Stored = stored,
            Tokens = tokens,
            Threads = threads,
            Weights = "fp32",
            Clock = "thread-cpu",
            MultiplyAdds = (long)Math.Round(intensity * 1_000_000),
            GigaMultiplyAdds = rate,
            ReadGbps = read,
            PeakGigaMultiplyAdds = peak,
        },
    };
}
