using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>Which attention kernels this process runs. Thread-safe.</summary>
/// <remarks>
/// The environment variable <c>KVHANDOFF_KERNELS</c> names a native target to use, or <c>managed</c>; a name that this machine does not
/// have leaves the managed kernels in use. It is read once.
/// </remarks>
public static class AttentionKernels
{
    /// <summary>The native targets that were built, ascending, and whether this processor runs them; empty without the native library.</summary>
    public static IReadOnlyList<(string Name, bool Supported)> NativeTargets => NativeKernels.Targets;

    /// <summary>What runs: <c>"native avx2"</c> or <c>"managed avx2"</c>.</summary>
    public static string InUse => NativeKernels.Chosen >= 0 ? $"native {NativeKernels.Targets[NativeKernels.Chosen].Name}" : $"managed {InstructionSet.Name}";

    /// <summary>Why no native kernel is in use; null when one is.</summary>
    public static string? ReasonManaged => NativeKernels.ReasonUnused;
}

/// <summary>Kernels to run: a native target, or the managed ones in vectors of some width.</summary>
/// <param name="VectorBits">Most bits of a vector of the managed kernels; 0 runs the definition.</param>
/// <param name="NativeTarget">Index among the native targets, or -1 for managed.</param>
/// <param name="Fastest">Whether a managed kernel may stand in for a native one that it has been measured to beat.</param>
readonly record struct KernelTarget(int VectorBits, int NativeTarget = -1, bool Fastest = false)
{
    /// <summary>What this process uses.</summary>
    internal static KernelTarget InUse => new(InstructionSet.VectorBits, NativeKernels.Chosen, Fastest: !NativeKernels.IsForced);
}
