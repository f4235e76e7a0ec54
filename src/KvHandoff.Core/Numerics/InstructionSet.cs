using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

/// <summary>
/// The vector width that the kernels of this process use: the single place of that decision. The JIT folds it to a
/// constant, so that a kernel's unused widths cost nothing. Thread-safe.
/// </summary>
/// <remarks>
/// <c>DOTNET_EnableAVX512=0</c>, <c>DOTNET_EnableAVX2=0</c> and <c>DOTNET_EnableHWIntrinsic=0</c> narrow it to 256, 128
/// and 0 bits. A processor that would lower its clock for 512-bit vectors is given 256 by the runtime.
/// </remarks>
public static class InstructionSet
{
    /// <summary>512, 256, 128, or 0 where kernels run their scalar form.</summary>
    public static int VectorBits
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.IsHardwareAccelerated ? 512
            : Vector256.IsHardwareAccelerated ? 256
            : Vector128.IsHardwareAccelerated ? 128
            : 0;
    }

    /// <summary><c>"avx512"</c>, <c>"avx2"</c>, <c>"vector128"</c> (SSE or Arm AdvSimd) or <c>"scalar"</c>.</summary>
    public static string Name => VectorBits switch
    {
        512 => "avx512",
        256 => "avx2",
        128 => "vector128",
        _ => "scalar",
    };
}
