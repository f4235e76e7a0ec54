using System.Globalization;
using System.Text.RegularExpressions;

namespace KvHandoff.Native.Tests;

/// <summary>The constants of kvhandoff.h, read from its text.</summary>
internal static partial class HeaderConstants
{
    internal static IReadOnlyDictionary<string, int> All { get; } = Read();

    /// <summary>Those whose names begin with a prefix, without it.</summary>
    internal static Dictionary<string, int> Of(string prefix) =>
        All.Where(c => c.Key.StartsWith(prefix, StringComparison.Ordinal)).ToDictionary(c => c.Key[prefix.Length..], c => c.Value);

    private static Dictionary<string, int> Read()
    {
        string text = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "kvhandoff.h"));
        return Constant().Matches(text).ToDictionary(m => m.Groups[1].Value, m => int.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex(@"\b(KVH_[A-Z0-9_]+)\s*=\s*(-?\d+)\b")]
    private static partial Regex Constant();
}
