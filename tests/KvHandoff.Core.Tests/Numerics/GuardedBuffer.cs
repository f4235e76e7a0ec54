using System.Runtime.InteropServices;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>
/// Memory between two pages that fault on any access, so that a kernel that touches one byte too many ends the test run.
/// </summary>
sealed unsafe partial class GuardedBuffer : IDisposable
{
    const int ProtectNone = 0;
    const int ProtectReadWrite = 3;
    const int PrivateAnonymous = 0x22;

    readonly byte* _mapping;
    readonly nuint _mappingBytes;
    readonly int _page = Environment.SystemPageSize;
    readonly int _usableBytes;

    public GuardedBuffer(int bytes)
    {
        _usableBytes = (bytes + _page - 1) / _page * _page;
        _mappingBytes = (nuint)(_usableBytes + (2 * _page));
        _mapping = (byte*)Map(0, _mappingBytes, ProtectReadWrite, PrivateAnonymous, -1, 0);
        if ((nint)_mapping == -1)
            throw new InvalidOperationException($"mmap failed with errno {Marshal.GetLastPInvokeError()}.");
        Protect(_mapping);
        Protect(_mapping + _page + _usableBytes);
    }

    public static bool IsAvailable => OperatingSystem.IsLinux();

    /// <summary>The elements that start right behind the first guard page.</summary>
    public Span<T> AtStart<T>(int count) where T : unmanaged => new(_mapping + _page, count);

    /// <summary>The elements that end right before the second guard page.</summary>
    public Span<T> AtEnd<T>(int count) where T : unmanaged =>
        new(_mapping + _page + _usableBytes - (count * sizeof(T)), count);

    public void Dispose() => Unmap(_mapping, _mappingBytes);

    void Protect(byte* page)
    {
        if (Protect(page, (nuint)_page, ProtectNone) != 0)
            throw new InvalidOperationException($"mprotect failed with errno {Marshal.GetLastPInvokeError()}.");
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(void* address, nuint length);
}
