namespace KvHandoff.Bench.Kernels;

/// <summary>A kernel that can be measured: its name, its data, and how its work is set up. The one definition that all measurements share.</summary>
/// <param name="Group">The suite that it belongs to.</param>
/// <param name="BaseName">Its name without the working set.</param>
/// <param name="Data">What the bytes are.</param>
/// <param name="Counts">Which bytes a rate counts.</param>
/// <param name="CountedBytes">How many they are.</param>
/// <param name="Create">Sets the work up.</param>
internal sealed record KernelDefinition(
    string Group, string BaseName, string Data, string Counts, Func<KernelSize, long> CountedBytes, Func<KernelBuffers, KernelSize, KernelWorkload> Create)
{
    /// <summary>Whose code it is.</summary>
    internal string Implementation { get; init; } = "c#";

    /// <summary>Follows the name where the bytes come from memory; by default that goes without saying.</summary>
    internal string MemorySuffix { get; init; } = "";

    /// <summary>The name in results.</summary>
    internal string Name(KernelSize size) => BaseName + size switch
    {
        KernelSize.Cache => " in cache",
        KernelSize.Memory => MemorySuffix,
        _ => " odd",
    };
}
