using System.Text.Json;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>"The tokens are equal" is able to be false: a cache damaged after its verification changes the text, and the run fails.</summary>
public sealed class LandedFaultTests
{
    [Theory]
    [InlineData("landed-byte")]
    [InlineData("swap-heads")]
    public void A_damaged_cache_makes_the_tokens_differ_and_the_run_fail(string fault)
    {
        using var scratch = new ScratchDirectory();
        string json = scratch.File("summary.json");
        (int code, string output, string errors) = BenchProgram.Run("--model", "reference", "--prompts", "short-short,long-short", "--completion", "64",
            "--skip-stages", "--test-fault", fault, "--output", scratch.FullName, "--quiet");
        Assert.True(code == 1, $"Exit code {code}. {output}{errors}");
        Assert.Empty(output);
        JsonElement reference = JsonDocument.Parse(File.ReadAllText(json)).RootElement.GetProperty("reference");
        Assert.False(reference.GetProperty("tokens_equal").GetBoolean());
        foreach (JsonElement prompt in reference.GetProperty("prompts").EnumerateArray())
        {
            string name = prompt.GetProperty("name").GetString()!;
            Assert.False(prompt.GetProperty("tokens_equal").GetBoolean(), name);
            Assert.Contains($"FAILED: Prompt {name}", errors, StringComparison.Ordinal);
        }
    }
}
