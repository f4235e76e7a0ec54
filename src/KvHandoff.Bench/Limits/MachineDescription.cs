using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using KvHandoff.Bench.Reports;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Limits;

/// <summary>What a reader of a result has to know about the machine it was taken on.</summary>
internal static class MachineDescription
{
    internal static EnvironmentSection Describe() => new()
    {
        Cpu = Cpu(),
        Cores = Environment.ProcessorCount,
        MemoryBytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        Os = RuntimeInformation.OSDescription,
        Dotnet = RuntimeInformation.FrameworkDescription,
        Isa = InstructionSet.Name,
        VectorBits = InstructionSet.VectorBits,
        Version = Version(),
        Time = DateTimeOffset.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture),
    };

    // Version and the first digits of the commit that it was built from.
    private static string Version()
    {
        const int CommitDigits = 8;
        string full = typeof(MachineDescription).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
        int commit = full.IndexOf('+');
        return commit < 0 ? full : full[..Math.Min(full.Length, commit + 1 + CommitDigits)];
    }

    private static string Cpu()
    {
        const string Source = "/proc/cpuinfo", Field = "model name";
        if (!File.Exists(Source)) return RuntimeInformation.ProcessArchitecture.ToString();
        foreach (string line in File.ReadLines(Source))
        {
            if (line.StartsWith(Field, StringComparison.Ordinal)) return line[(line.IndexOf(':') + 1)..].Trim();
        }

        return RuntimeInformation.ProcessArchitecture.ToString();
    }
}
