using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary><c>kvhk_attention_shape</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
struct NativeAttentionShape
{
    internal int Element, Weights, Rows, KeyDim, ValueDim;
}

/// <summary><c>kvhk_attention_kernel</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
unsafe struct NativeAttentionKernel
{
    internal long PreparedBytes;
    internal delegate* unmanaged<NativeAttentionShape*, float*, byte*, void> Prepare;
    internal delegate* unmanaged<AttendTile*, void> Attend;
    internal byte* Name;
}

/// <summary>
/// The kernels of <c>native/kernels</c>, bound when their library lies beside this assembly or in the system's library path. Where it
/// does not, the managed kernels do the same work.
/// </summary>
static unsafe class NativeKernels
{
    internal const string LibraryName = "kvhandoff_kernels";

    const int AbiVersion = 1;

    /// <summary>The variable that forces a target by name, or the managed kernels by <c>managed</c>.</summary>
    internal const string Variable = "KVHANDOFF_KERNELS";

    static readonly delegate* unmanaged<int, NativeAttentionShape*, NativeAttentionKernel*, int> s_find;

    static readonly string? s_forced = Environment.GetEnvironmentVariable(Variable);

    static NativeKernels()
    {
        Targets = [];
        Chosen = Avx2 = -1;
        if (!NativeLibrary.TryLoad(LibraryName, typeof(NativeKernels).Assembly, null, out nint library))
        {
            ReasonUnused = $"lib{LibraryName}.so was not found; it is built where cmake and g++ are";
            return;
        }

        if (!NativeLibrary.TryGetExport(library, "kvhk_abi_version", out nint version) || ((delegate* unmanaged<int>)version)() != AbiVersion)
        {
            ReasonUnused = $"lib{LibraryName}.so is of another version";
            return;
        }

        var count = (delegate* unmanaged<int>)NativeLibrary.GetExport(library, "kvhk_target_count");
        var name = (delegate* unmanaged<int, nint>)NativeLibrary.GetExport(library, "kvhk_target_name");
        var supported = (delegate* unmanaged<int, int>)NativeLibrary.GetExport(library, "kvhk_target_supported");
        var chosen = (delegate* unmanaged<int>)NativeLibrary.GetExport(library, "kvhk_chosen_target");
        s_find = (delegate* unmanaged<int, NativeAttentionShape*, NativeAttentionKernel*, int>)NativeLibrary.GetExport(library, "kvhk_find_attention_kernel");
        var targets = new (string, bool)[count()];
        for (int i = 0; i < targets.Length; i++) targets[i] = (Marshal.PtrToStringUTF8(name(i))!, supported(i) != 0);
        Targets = targets;
        Avx2 = Array.FindIndex(targets, t => t.Item1 == "avx2");
        Chosen = chosen();
        if (Chosen < 0) ReasonUnused = $"{Variable} is {s_forced}";
    }

    /// <summary>Compiled targets, ascending, and whether this processor runs them; empty without the library.</summary>
    internal static IReadOnlyList<(string Name, bool Supported)> Targets { get; }

    /// <summary>The target in use, or -1 for none.</summary>
    internal static int Chosen { get; }

    /// <summary>Whether the variable asks for certain kernels.</summary>
    internal static bool IsForced => !string.IsNullOrEmpty(s_forced);

    /// <summary>The target of that name, or -1.</summary>
    internal static int Avx2 { get; }

    /// <summary>Why no target is in use; null when one is.</summary>
    internal static string? ReasonUnused { get; }

    /// <summary>Finds a target's kernel.</summary>
    internal static bool TryFind(int target, in TileShape shape, out TileKernel kernel)
    {
        kernel = default;
        if (s_find is null || target < 0 || target >= Targets.Count || !Targets[target].Supported) return false;
        // As many rows as there are, or enough to get the kernel for many.
        var native = new NativeAttentionShape
        {
            Element = (int)shape.Element,
            Weights = (int)shape.Weights,
            Rows = shape.ManyRows ? Math.Max(shape.Rows, AttendTile.MostTokens) : shape.Rows,
            KeyDim = shape.KeyDim,
            ValueDim = shape.ValueDim,
        };
        NativeAttentionKernel found;
        if (s_find(target, &native, &found) != 0) return false;
        native.Rows = shape.Rows;
        kernel = new TileKernel(native, found);
        return true;
    }
}
