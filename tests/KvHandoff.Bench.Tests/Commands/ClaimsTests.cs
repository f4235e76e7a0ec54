using System.Text.RegularExpressions;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Tests.Commands;

/// <summary>docs/claims.md is what the program writes, and says what was worked out by hand.</summary>
public sealed partial class ClaimsTests
{
    private static readonly string Text = ClaimsPage.Render(HardwareCatalogue.Default());

    [Fact]
    public async Task The_committed_page_is_the_generated_one()
    {
        string committed = Path.Combine(Repository(), "docs", "claims.md");
        Assert.True(File.Exists(committed), $"{committed} is missing; write it with plan --claims.");
        Assert.Equal(File.ReadAllText(committed), Text);
        using var scratch = new Scratch();
        (int code, _, string errors) = await CommandRun.RunAsync("plan", "--claims", scratch.File("claims.md"), "--quiet");
        Assert.True(code == 0, errors);
        Assert.Equal(File.ReadAllBytes(committed), File.ReadAllBytes(scratch.File("claims.md")));
    }

    [Fact]
    public void The_example_catalogue_of_the_documentation_is_one()
    {
        string page = File.ReadAllText(Path.Combine(Repository(), "docs", "cost-model.md")), json = page[(page.IndexOf("```json", StringComparison.Ordinal) + 7)..];
        HardwareCatalogue catalogue = HardwareCatalogue.Default();
        catalogue.Add("docs/cost-model.md", json[..json.IndexOf("```", StringComparison.Ordinal)]);
        Assert.Equal(4, catalogue.Nodes["lab"].Count);
        Assert.Equal(0.92, catalogue.Links["rack"].Efficiency.Value);
    }

    // Figures of the reference example, where the page must have them.
    [Theory]
    [InlineData("100G | 38 | 76 |")]
    [InlineData("400G | 152 | 305 |")]
    [InlineData("3.2T | 1,220 | 2,441 |")]
    [InlineData("148 / 591")]
    [InlineData("15.6 wafers")]
    [InlineData("41.7 s even on 144")]
    [InlineData("per chip 1.94x in FP8 and 1.01x in BF16")]
    [InlineData("Kimi K2 | 1.03 TB, fp8 | 26 |")]
    [InlineData("106,506 tokens on four wafers")]
    public void It_has_the_figures_that_were_worked_out(string figure) => Assert.Contains(figure, Text, StringComparison.Ordinal);

    [Fact]
    public void Every_claim_has_a_verdict_conditions_and_numbers()
    {
        string[] sections = [.. SectionStart().Split(Text).Skip(1)];
        Assert.Equal(7, sections.Length);
        Assert.All(sections, s =>
        {
            Assert.Contains("**", s, StringComparison.Ordinal);
            Assert.Contains("| ---: |", s, StringComparison.Ordinal);
        });
        Assert.DoesNotContain("NaN", Text, StringComparison.Ordinal);
        Assert.EndsWith("\n", Text, StringComparison.Ordinal);
        Assert.DoesNotContain("\r", Text, StringComparison.Ordinal);
    }

    private static string Repository()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "KvHandoff.sln"))) folder = folder.Parent;
        return folder?.FullName ?? throw new DirectoryNotFoundException($"No KvHandoff.sln above {AppContext.BaseDirectory}.");
    }

    [GeneratedRegex("^## ", RegexOptions.Multiline)]
    private static partial Regex SectionStart();
}
