using System.Text.Json;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>One small run of <c>accuracy</c>.</summary>
public sealed class AccuracyTests
{
    [Fact]
    public void Lossless_forms_change_nothing_and_8_bit_forms_little()
    {
        using var scratch = new ScratchDirectory();
        string json = scratch.File("accuracy.json"), markdown = scratch.File("numerics.md");
        (int code, string output, string errors) = BenchProgram.Run("accuracy", "--windows", "1", "--json", json, "--markdown", markdown);
        Assert.True(code == 0, $"Exit code {code}. {output}{errors}");
        JsonElement root = JsonDocument.Parse(File.ReadAllText(json)).RootElement;
        Assert.Equal("kvhandoff.bench/1", root.GetProperty("schema").GetString());
        Assert.Equal("accuracy", root.GetProperty("command").GetString());
        Assert.Equal(384, root.GetProperty("prefix_tokens").GetInt32());
        Assert.Equal(128, root.GetProperty("decoded_tokens").GetInt32());
        Assert.Equal(128, root.GetProperty("predictions").GetInt32());
        // Not 0: the outlier model is another one, and computes the same.
        Assert.InRange(root.GetProperty("outlier_logit_difference").GetDouble(), 1e-9, 1e-3);
        JsonElement[] rows = [.. root.GetProperty("accuracy").EnumerateArray()];
        Assert.Equal(["raw", "fp8", "int8", "mxfp8", "ew3", "lz4"], rows.Where(r => r.GetProperty("kind").GetString() == "codec").Select(r => r.GetProperty("name").GetString()));
        string page = File.ReadAllText(markdown);
        Assert.StartsWith("## Accuracy on the reference model\n", page, StringComparison.Ordinal);
        foreach (JsonElement row in rows)
        {
            string name = row.GetProperty("name").GetString()!;
            Assert.Contains($"\n| {name} | ", page, StringComparison.Ordinal);
            bool exact = row.GetProperty("is_exact").GetBoolean();
            Assert.Equal(name is "raw" or "ew3" or "lz4", exact);
            foreach (JsonElement figures in new[] { row.GetProperty("as_trained"), row.GetProperty("with_outliers") })
            {
                double kl = figures.GetProperty("mean_kl").GetDouble(), top = figures.GetProperty("top1_agreement").GetDouble(), perplexity = figures.GetProperty("perplexity_change_percent").GetDouble();
                if (exact) Assert.Equal((0, 1, 0), (kl, top, perplexity));
                else
                {
                    Assert.InRange(kl, 1e-9, 1e-2);
                    Assert.InRange(top, 0.95, 1);
                    Assert.InRange(perplexity, -2, 2);
                }
            }
        }

        Assert.InRange(Share(rows, "codec", "raw"), 1, 1.01);
        Assert.InRange(Share(rows, "codec", "ew3"), 0.65, 0.75);
        foreach (string eightBit in new[] { "fp8", "int8", "mxfp8" }) Assert.InRange(Share(rows, "codec", eightBit), 0.5, 0.55);
        // The outliers are in the keys, and a scale per channel does not mind them where one per token does.
        Assert.True(Outliers(rows, "int8, K token-head, V token-head") > 10 * Outliers(rows, "int8, K channel-tile, V token-head"));
    }

    private static double Share(JsonElement[] rows, string kind, string name) => Find(rows, kind, name).GetProperty("wire_share").GetDouble();

    private static double Outliers(JsonElement[] rows, string name) => Find(rows, "stored", name).GetProperty("with_outliers").GetProperty("mean_kl").GetDouble();

    private static JsonElement Find(JsonElement[] rows, string kind, string name) =>
        rows.Single(r => r.GetProperty("kind").GetString() == kind && r.GetProperty("name").GetString() == name);
}
