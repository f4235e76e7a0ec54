using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>The system calls behind the slabs.</summary>
internal static unsafe partial class LinuxMemory
{
    internal const int ProtRead = 1, ProtWrite = 2;
    internal const int MapShared = 1, MapPrivate = 2, MapAnonymous = 0x20;
    internal const int AdviseHugePage = 14;
    internal const uint MemfdCloseOnExec = 1, MemfdAllowSealing = 2;

    private const string Libc = "libc";

    [LibraryImport(Libc, EntryPoint = "mmap", SetLastError = true)]
    internal static partial void* Map(void* address, nuint length, int protection, int flags, int fd, nint offset);

    [LibraryImport(Libc, EntryPoint = "munmap", SetLastError = true)]
    internal static partial int Unmap(void* address, nuint length);

    [LibraryImport(Libc, EntryPoint = "madvise", SetLastError = true)]
    internal static partial int Advise(void* address, nuint length, int advice);

    [LibraryImport(Libc, EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int MemfdCreate(string name, uint flags);

    [LibraryImport(Libc, EntryPoint = "ftruncate", SetLastError = true)]
    internal static partial int Truncate(int fd, long length);

    [LibraryImport(Libc, EntryPoint = "lseek", SetLastError = true)]
    internal static partial long Seek(int fd, long offset, int whence);

    [LibraryImport(Libc, EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int fd);

    /// <summary>Maps <paramref name="length"/> bytes or throws with the size and the system's reason.</summary>
    internal static void* MapOrThrow(long length, int flags, int fd)
    {
        void* address = Map(null, (nuint)length, ProtRead | ProtWrite, flags, fd, 0);
        if (address == (void*)-1)
            throw new OutOfMemoryException($"Mapping {length} bytes failed: {Marshal.GetLastPInvokeErrorMessage()}");
        return address;
    }
}
