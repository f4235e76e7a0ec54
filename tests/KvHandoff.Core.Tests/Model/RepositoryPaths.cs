namespace KvHandoff.Core.Tests.Model;

/// <summary>Finds files of the repository from wherever the tests run.</summary>
internal static class RepositoryPaths
{
    /// <summary>The folder with the solution.</summary>
    internal static string Root { get; } = FindRoot();

    internal static string ReferenceModel => Path.Combine(Root, "models", "llama-bytes-5m");

    internal static string GoldenLogits => Path.Combine(Root, "models", "golden", "reference-logits.json");

    private static string FindRoot()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "KvHandoff.sln"))) return at.FullName;
        }

        throw new DirectoryNotFoundException($"No folder above {AppContext.BaseDirectory} has KvHandoff.sln.");
    }
}
