using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>
/// A memfd: memory that another process on this host can map by its file descriptor. Linux only.
/// </summary>
public sealed unsafe class SharedSlab : MemoryRegion
{
    private const int SeekEnd = 2;

    private SharedSlab(void* address, long lengthBytes, int fileDescriptor) : base(address, lengthBytes) => FileDescriptor = fileDescriptor;

    /// <summary>Unmaps the slab of a caller that forgot to.</summary>
    ~SharedSlab() => Release();

    /// <summary>The memfd; owned by this object and valid until it is disposed.</summary>
    public int FileDescriptor { get; }

    /// <summary>Creates a zeroed slab of <paramref name="lengthBytes"/> bytes that can be handed to another process.</summary>
    /// <param name="name">Shown by the system in /proc/PID/maps; need not be unique.</param>
    /// <param name="lengthBytes">Size in bytes, 1 or more.</param>
    /// <exception cref="PlatformNotSupportedException">Not on Linux.</exception>
    /// <exception cref="IOException">The system refuses the memfd; the message has its reason.</exception>
    public static SharedSlab Create(string name, long lengthBytes)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(lengthBytes);
        RequireLinux();
        // A listener that hands the slab out seals its size first.
        int fd = LinuxMemory.MemfdCreate(name, LinuxMemory.MemfdCloseOnExec | LinuxMemory.MemfdAllowSealing);
        if (fd < 0) throw new IOException($"memfd_create(\"{name}\") failed: {Marshal.GetLastPInvokeErrorMessage()}");
        if (LinuxMemory.Truncate(fd, lengthBytes) != 0)
        {
            string reason = Marshal.GetLastPInvokeErrorMessage();
            LinuxMemory.Close(fd);
            throw new IOException($"Sizing memfd \"{name}\" to {lengthBytes} bytes failed: {reason}");
        }

        return MapDescriptor(fd, lengthBytes);
    }

    /// <summary>Maps a memfd that another process created; takes ownership of <paramref name="fileDescriptor"/>, also when it throws.</summary>
    /// <exception cref="InvalidDataException">The memfd is shorter than <paramref name="lengthBytes"/>: touching it would be a fault.</exception>
    public static SharedSlab Open(int fileDescriptor, long lengthBytes)
    {
        RequireLinux();
        long actual = LinuxMemory.Seek(fileDescriptor, 0, SeekEnd);
        if (lengthBytes <= 0 || actual < lengthBytes)
        {
            LinuxMemory.Close(fileDescriptor);
            throw new InvalidDataException($"Descriptor {fileDescriptor} holds {actual} bytes; {lengthBytes} were announced.");
        }

        return MapDescriptor(fileDescriptor, lengthBytes);
    }

    private static SharedSlab MapDescriptor(int fd, long lengthBytes)
    {
        try
        {
            return new SharedSlab(LinuxMemory.MapOrThrow(lengthBytes, LinuxMemory.MapShared, fd), lengthBytes, fd);
        }
        catch
        {
            LinuxMemory.Close(fd);
            throw;
        }
    }

    private static void RequireLinux()
    {
        if (!OperatingSystem.IsLinux()) throw new PlatformNotSupportedException("A shared slab is a memfd, which only Linux has.");
    }

    private protected override void Free(void* address)
    {
        LinuxMemory.Unmap(address, (nuint)LengthBytes);
        LinuxMemory.Close(FileDescriptor);
    }
}
