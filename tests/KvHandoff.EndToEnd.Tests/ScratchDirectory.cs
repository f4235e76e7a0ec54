namespace KvHandoff.EndToEnd.Tests;

/// <summary>A directory of one test, removed afterwards.</summary>
internal sealed class ScratchDirectory : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("kvhandoff-test-");

    internal string File(string name) => Path.Combine(_directory.FullName, name);

    internal string FullName => _directory.FullName;

    public void Dispose() => _directory.Delete(recursive: true);
}
