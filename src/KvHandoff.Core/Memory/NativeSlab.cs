using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>
/// Memory of this process, aligned to 2 MiB so that the kernel can back it with huge pages. Starts as zeros; pages are not
/// committed before they are touched.
/// </summary>
public sealed unsafe class NativeSlab : MemoryRegion
{
    private const long HugePageBytes = 2 << 20;

    private readonly void* _mapping;
    private readonly long _mappedBytes;

    private NativeSlab(void* address, long lengthBytes, void* mapping, long mappedBytes) : base(address, lengthBytes)
    {
        _mapping = mapping;
        _mappedBytes = mappedBytes;
    }

    /// <summary>Frees the slab of a caller that forgot to.</summary>
    ~NativeSlab() => Release();

    /// <summary>Allocates <paramref name="lengthBytes"/> bytes (1 or more).</summary>
    /// <exception cref="ArgumentOutOfRangeException">The length is not positive.</exception>
    /// <exception cref="OutOfMemoryException">The system refuses the mapping; the message has the size.</exception>
    public static NativeSlab Allocate(long lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(lengthBytes);
        if (!OperatingSystem.IsLinux())
        {
            void* portable = NativeMemory.AlignedAlloc((nuint)lengthBytes, 4096);
            NativeMemory.Clear(portable, (nuint)lengthBytes);
            return new NativeSlab(portable, lengthBytes, null, 0);
        }

        long mappedBytes = checked(lengthBytes + HugePageBytes);
        void* mapping = LinuxMemory.MapOrThrow(mappedBytes, LinuxMemory.MapPrivate | LinuxMemory.MapAnonymous, -1);
        nint aligned = (nint)(((long)mapping + HugePageBytes - 1) & ~(HugePageBytes - 1));
        // Advice only: without transparent huge pages the slab still works, 2 to 6 % slower to scan.
        LinuxMemory.Advise((void*)aligned, (nuint)lengthBytes, LinuxMemory.AdviseHugePage);
        return new NativeSlab((void*)aligned, lengthBytes, mapping, mappedBytes);
    }

    private protected override void Free(void* address)
    {
        if (_mapping == null) NativeMemory.AlignedFree(address);
        else LinuxMemory.Unmap(_mapping, (nuint)_mappedBytes);
    }
}
