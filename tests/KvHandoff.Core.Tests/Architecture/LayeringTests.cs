using System.Text.RegularExpressions;

namespace KvHandoff.Core.Tests.Architecture;

/// <summary>The layer diagram of docs/architecture.md, checked against the sources.</summary>
public sealed class LayeringTests
{
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Memory"] = [],
        ["Numerics"] = [],
        ["Layout"] = ["Numerics", "Memory"],
        ["Transport"] = ["Memory"],
        ["Codec"] = ["Layout", "Numerics", "Memory"],
        ["Wire"] = ["Codec", "Layout", "Numerics"],
        ["Attention"] = ["Layout", "Numerics", "Memory"],
        ["Session"] = ["Wire", "Codec", "Layout", "Transport", "Attention", "Numerics", "Memory"],
    };

    private static readonly string Core = Path.Combine(SourceTree.Root, "src", "KvHandoff.Core");

    [Fact]
    public void Every_folder_of_core_is_a_known_layer()
    {
        IEnumerable<string> folders = Directory.GetDirectories(Core).Select(d => Path.GetFileName(d)!).Where(d => d is not ("bin" or "obj"));
        Assert.Equal(Allowed.Keys.Order(), folders.Order());
    }

    [Fact]
    public void Arrows_only_point_down()
    {
        var wrong = new List<string>();
        foreach ((string layer, string[] below) in Allowed)
        {
            foreach (string file in SourceTree.CSharpFiles(Path.Combine(Core, layer)))
            {
                foreach (string used in UsedLayers(File.ReadAllText(file)))
                {
                    if (used != layer && !below.Contains(used)) wrong.Add($"{Path.GetRelativePath(Core, file)} uses {used}");
                }
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public void A_wrong_arrow_would_be_found()
    {
        Assert.Equal(["Session"], UsedLayers("using KvHandoff.Session;\n"));
        Assert.Equal(["Wire"], UsedLayers("namespace KvHandoff.Memory;\nvar x = KvHandoff.Wire.FrameHeader.Bytes;"));
        Assert.Equal(["Layout"], UsedLayers("namespace KvHandoff.Memory;\nvar x = Layout.KvShard.Whole;"));
    }

    [Fact]
    public void Files_declare_the_namespace_of_their_folder()
    {
        var wrong = new List<string>();
        foreach (string layer in Allowed.Keys)
        {
            foreach (string file in SourceTree.CSharpFiles(Path.Combine(Core, layer)))
            {
                Match declared = Regex.Match(File.ReadAllText(file), @"^namespace ([\w.]+);", RegexOptions.Multiline);
                if (declared.Groups[1].Value != $"KvHandoff.{layer}") wrong.Add(Path.GetRelativePath(Core, file));
            }
        }

        Assert.Empty(wrong);
    }

    private static string[] UsedLayers(string source)
    {
        string layers = string.Join('|', Allowed.Keys);
        string code = Regex.Replace(source, @"//.*", "");
        code = Regex.Replace(code, @"^namespace .*$", "", RegexOptions.Multiline);
        // Full names, and names that start at a layer: "Layout.KvShard" (a property called Layout is followed by a member, not by a type of that layer).
        IEnumerable<string> full = Regex.Matches(code, $@"\bKvHandoff\.({layers})\b").Select(m => m.Groups[1].Value);
        IEnumerable<string> partial = Regex.Matches(code, $@"(?<![\w.])({layers})\.([A-Z]\w+)").Where(m => TypesOf(m.Groups[1].Value).Contains(m.Groups[2].Value)).Select(m => m.Groups[1].Value);
        return [.. full.Concat(partial).Distinct()];
    }

    private static HashSet<string> TypesOf(string layer) => [.. Directory.GetFiles(Path.Combine(Core, layer), "*.cs").Select(f => Path.GetFileName(f).Split('.')[0])];
}
