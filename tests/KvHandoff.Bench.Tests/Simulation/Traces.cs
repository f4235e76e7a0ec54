using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Simulation;

/// <summary>Mooncake's public traces where they are at hand: in the folder that KVHANDOFF_TRACES names, or in shared/data beside the checkout. Otherwise requests drawn with the same statistics.</summary>
internal static class Traces
{
    private const string Variable = "KVHANDOFF_TRACES";
    private const ulong Seed = 7;

    internal static WorkloadRequest[] Conversation { get; } = Read("conversation", out _);

    internal static WorkloadRequest[] Synthetic { get; } = Read("synthetic", out _);

    /// <summary>The file was found: figures of the real trace may be asked for.</summary>
    internal static bool IsReal => Folders().Any(f => File.Exists(Path.Combine(f, "mooncake-conversation-trace.jsonl")));

    private static WorkloadRequest[] Read(string name, out bool isReal)
    {
        string? file = Folders().Select(f => Path.Combine(f, $"mooncake-{name}-trace.jsonl")).FirstOrDefault(File.Exists);
        isReal = file is not null;
        return file is null ? MooncakeTrace.Draw(MooncakeTrace.Published.First(p => p.Name == name), null, Seed) : MooncakeTrace.Read(file, File.ReadLines(file));
    }

    private static IEnumerable<string> Folders()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } given)
        {
            yield return given;
            yield break;
        }

        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            yield return Path.Combine(folder.FullName, "shared", "data");
            if (File.Exists(Path.Combine(folder.FullName, "KvHandoff.sln")))
            {
                if (folder.Parent is { } beside) yield return Path.Combine(beside.FullName, "shared", "data");
                yield break;
            }
        }
    }
}
