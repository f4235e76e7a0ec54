#if !NET10_0_OR_GREATER
using System.Runtime.InteropServices;

namespace KvHandoff.Numerics;

// .NET 9 has no 256-bit carry-less multiplication: native/kernels does, where its library lies beside the program.
public static partial class Crc32C
{
    // A call pays off from here on.
    const nuint FewestBytes = 512;

    /// <summary>Consumes whole vectors, or nothing, and returns the bytes taken.</summary>
    static unsafe nuint FoldNatively(ref uint state, ref byte source, nuint length)
    {
        if (length < FewestBytes || NativeFold.Function == null) return 0;
        long taken;
        fixed (byte* data = &source) state = NativeFold.Function(state, data, (long)length, &taken);
        return (nuint)taken;
    }

    static unsafe class NativeFold
    {
        internal static readonly delegate* unmanaged<uint, byte*, long, long*, uint> Function = Find();

        static delegate* unmanaged<uint, byte*, long, long*, uint> Find()
        {
            if (!NativeLibrary.TryLoad("kvhandoff_kernels", typeof(Crc32C).Assembly, null, out nint library)
                || !NativeLibrary.TryGetExport(library, "kvhk_find_crc32c_fold", out nint find)) return null;
            return (delegate* unmanaged<uint, byte*, long, long*, uint>)((delegate* unmanaged<nint>)find)();
        }
    }
}
#endif
