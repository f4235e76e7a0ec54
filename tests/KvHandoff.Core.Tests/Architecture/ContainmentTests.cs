using System.Text.RegularExpressions;

namespace KvHandoff.Core.Tests.Architecture;

/// <summary>Where unsafe code may stand, and which names may not.</summary>
public sealed partial class ContainmentTests
{
    private static readonly string Source = Path.Combine(SourceTree.Root, "src");

    [Fact]
    public void Unsafe_code_stays_in_vectorized_files_memory_and_native_bindings()
    {
        string[] wrong = [.. SourceTree.CSharpFiles(Source).Where(f => !MayBeUnsafe(f) && UsesUnsafe(File.ReadAllText(f))).Select(Relative)];
        Assert.Empty(wrong);
    }

    [Fact]
    public void The_search_finds_unsafe_code_where_it_is_allowed()
    {
        // Guards the test above against a pattern that matches nothing.
        Assert.Contains(SourceTree.CSharpFiles(Source), f => MayBeUnsafe(f) && UsesUnsafe(File.ReadAllText(f)));
        Assert.True(UsesUnsafe("public unsafe void M() {}"));
        Assert.True(UsesUnsafe("Unsafe.Add(ref x, 1)"));
        Assert.False(UsesUnsafe("// an unsafe idea\n"));
    }

    [Fact]
    public void No_file_is_named_after_nothing()
    {
        string[] wrong = [.. SourceTree.CSharpFiles(SourceTree.Root).Where(f => EmptyName().IsMatch(Path.GetFileName(f))).Select(Relative)];
        Assert.Empty(wrong);
    }

    [Fact]
    public void No_type_lives_in_the_root_namespace()
    {
        IEnumerable<Type> root = typeof(KvHandoff.Layout.KvCacheLayout).Assembly.GetExportedTypes().Where(t => t.Namespace == "KvHandoff");
        Assert.Empty(root);
    }

    private static bool MayBeUnsafe(string file) =>
        file.EndsWith(".Vectorized.cs", StringComparison.Ordinal)
        || file.EndsWith(".Native.cs", StringComparison.Ordinal)
        || IsNativeBinding(file)
        || file.Contains($"{Path.DirectorySeparatorChar}Memory{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
        || file.Contains($"{Path.DirectorySeparatorChar}KvHandoff.Native{Path.DirectorySeparatorChar}", StringComparison.Ordinal);

    // A binding declares the foreign function itself, or looks it up; its callers elsewhere stay safe.
    private static bool IsNativeBinding(string file) =>
        File.ReadAllText(file) is var text && (text.Contains("[LibraryImport(", StringComparison.Ordinal) || text.Contains("NativeLibrary.GetExport(", StringComparison.Ordinal)
            || text.Contains("NativeLibrary.TryGetExport(", StringComparison.Ordinal));

    private static bool UsesUnsafe(string source)
    {
        string code = Regex.Replace(source, @"//.*|""(?:[^""\\]|\\.)*""", "");
        return UnsafeUse().IsMatch(code);
    }

    private static string Relative(string file) => Path.GetRelativePath(SourceTree.Root, file);

    [GeneratedRegex(@"\bunsafe\b|\bUnsafe\.|\bMemoryMarshal\.(GetReference|GetArrayDataReference|CreateSpan|CreateReadOnlySpan)\b|\bLoadUnsafe\b|\bStoreUnsafe\b")]
    private static partial Regex UnsafeUse();

    [GeneratedRegex(@"(Utils?|Helpers?|Common|Manager|Misc)\.cs$")]
    private static partial Regex EmptyName();
}
