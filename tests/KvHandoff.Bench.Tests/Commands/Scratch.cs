namespace KvHandoff.Bench.Tests.Commands;

/// <summary>A directory of one test, removed afterwards.</summary>
internal sealed class Scratch : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("kvhandoff-bench-test-");

    internal string FullName => _directory.FullName;

    internal string File(string name) => Path.Combine(_directory.FullName, name);

    public void Dispose() => _directory.Delete(recursive: true);
}
