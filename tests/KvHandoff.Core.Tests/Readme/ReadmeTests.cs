using System.Text.RegularExpressions;
using KvHandoff.Core.Tests.Architecture;
using KvHandoff.Numerics;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Readme;

public sealed class ReadmeTests
{
    private static readonly string Readme = File.ReadAllText(Path.Combine(SourceTree.Root, "README.md"));

    [Fact]
    public async Task The_example_hands_its_rows_over()
    {
        const int tokens = 100;
        var random = new Random(3);
        float[] keys = [.. Enumerable.Range(0, tokens * 4 * 64).Select(_ => random.NextSingle())], values = [.. keys.Reverse()];
        (byte[] row, HandoffCost cost) = await ReadmeExample.RunAsync(keys, values, tokens);
        Assert.Equal(2 * 4 * 64 * 2 * 2 * tokens, cost.KvBytes);
        Assert.Equal((float)(BFloat16)values[99 * 256 + 3 * 64 + 5], BitConverter.Int32BitsToSingle(BitConverter.ToUInt16(row, 10) << 16));
    }

    [Fact]
    public void The_readme_shows_exactly_the_code_that_is_compiled()
    {
        string source = File.ReadAllText(Path.Combine(SourceTree.Root, "tests", "KvHandoff.Core.Tests", "Readme", "ReadmeExample.cs"));
        string compiled = Regex.Match(source, @"// <readme>\n(.*?)\n +// </readme>", RegexOptions.Singleline).Groups[1].Value;
        compiled = Regex.Replace(compiled, "^        ", "", RegexOptions.Multiline);
        string shown = Regex.Match(Readme, @"```csharp\n(.*?)\n```", RegexOptions.Singleline).Groups[1].Value;
        Assert.NotEmpty(shown);
        Assert.Equal(compiled, shown);
    }

    [Fact]
    public void The_readme_shows_exactly_the_cpp_code_that_is_compiled()
    {
        string source = File.ReadAllText(Path.Combine(SourceTree.Root, "native", "tests", "abi", "out_of_tree", "host.cpp"));
        string compiled = Regex.Match(source, @"// <readme>\n(.*?)\n +// </readme>", RegexOptions.Singleline).Groups[1].Value;
        string shown = Regex.Match(Readme, @"```cpp\n(.*?)\n```", RegexOptions.Singleline).Groups[1].Value;
        Assert.NotEmpty(shown);
        Assert.Equal(Regex.Replace(compiled, "^        ", "", RegexOptions.Multiline), shown);
    }

    [Fact]
    public void Every_path_that_the_documents_link_to_exists()
    {
        string[] documents = [Path.Combine(SourceTree.Root, "README.md"), .. Directory.GetFiles(Path.Combine(SourceTree.Root, "docs"), "*.md")];
        var missing = new List<string>();
        foreach (string document in documents)
        {
            foreach (Match link in Regex.Matches(File.ReadAllText(document), @"\]\((?!https?:|#)([^)#]+)"))
            {
                string target = Path.Combine(Path.GetDirectoryName(document)!, link.Groups[1].Value);
                if (!File.Exists(target) && !Directory.Exists(target)) missing.Add($"{Path.GetFileName(document)}: {link.Groups[1].Value}");
            }
        }

        Assert.Empty(missing);
    }
}
