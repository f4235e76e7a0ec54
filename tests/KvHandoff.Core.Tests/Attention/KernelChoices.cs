using KvHandoff.Attention;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>Every kernel that this process can run: the definition, the managed ones in each width, the native targets.</summary>
static class KernelChoices
{
    /// <summary>Ascending: the definition (0 bits), 128, 256 and 512 bits as far as this process has them, then the native targets.</summary>
    public static IEnumerable<KernelTarget> All =>
        new[] { 0, 128, 256, 512 }.Where(bits => bits <= InstructionSet.VectorBits).Select(bits => new KernelTarget(bits))
            .Concat(Enumerable.Range(0, NativeKernels.Targets.Count).Where(i => NativeKernels.Targets[i].Supported).Select(i => new KernelTarget(InstructionSet.VectorBits, i)));

    /// <summary>The widest managed kernels and the best native ones.</summary>
    public static IEnumerable<KernelTarget> Best =>
        new[] { All.Last(target => target.NativeTarget < 0), All.Last() }.Distinct();

    public static string Name(KernelTarget target) =>
        target.NativeTarget < 0 ? $"managed {target.VectorBits}" : $"native {NativeKernels.Targets[target.NativeTarget].Name}";
}
