namespace KvHandoff.Bench.Reports;

/// <summary>Writes result files; their directories are made.</summary>
internal static class ResultFiles
{
    /// <summary>Writes one, unless no path was given.</summary>
    internal static async Task WriteAsync(string? path, string text)
    {
        if (path is null) return;
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } directory) Directory.CreateDirectory(directory);
        await File.WriteAllTextAsync(path, text);
    }
}
