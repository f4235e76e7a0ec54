using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>
/// The mapping of a pair of rings: a memfd that can neither shrink nor grow, so that no other holder of it can make this process fault by
/// cutting it off. The descriptor is not needed once both sides have mapped it, and is not kept.
/// </summary>
internal sealed unsafe partial class RingMemory : MemoryRegion
{
    private const int AddSeals = 1033, GetSeals = 1034;
    private const int SealSeals = 1, SealShrink = 2, SealGrow = 4;
    private const int SeekEnd = 2;

    private RingMemory(void* address, int capacityBytes) : base(address, RingLayout.MappingBytes(capacityBytes)) => CapacityBytes = capacityBytes;

    ~RingMemory() => Release();

    /// <summary>Bytes of each of the two rings.</summary>
    internal int CapacityBytes { get; }

    /// <summary>Creates a sealed memfd and maps it; the caller hands <paramref name="fileDescriptor"/> over and closes it.</summary>
    /// <exception cref="IOException">The system refuses; the message has its reason.</exception>
    internal static RingMemory Create(int capacityBytes, out int fileDescriptor)
    {
        long bytes = RingLayout.MappingBytes(capacityBytes);
        fileDescriptor = LinuxMemory.MemfdCreate("kvhandoff-ring", LinuxMemory.MemfdCloseOnExec | LinuxMemory.MemfdAllowSealing);
        if (fileDescriptor < 0) throw new IOException($"memfd_create for a ring of {bytes} bytes failed: {Marshal.GetLastPInvokeErrorMessage()}");
        try
        {
            if (LinuxMemory.Truncate(fileDescriptor, bytes) != 0 || FileControl(fileDescriptor, AddSeals, SealSeals | SealShrink | SealGrow) < 0)
                throw new IOException($"Sizing and sealing a ring of {bytes} bytes failed: {Marshal.GetLastPInvokeErrorMessage()}");
            return new RingMemory(LinuxMemory.MapOrThrow(bytes, LinuxMemory.MapShared, fileDescriptor), capacityBytes);
        }
        catch
        {
            LinuxMemory.Close(fileDescriptor);
            throw;
        }
    }

    /// <summary>Maps a ring that the peer created; leaves <paramref name="fileDescriptor"/> open.</summary>
    /// <returns>Null, and what is wrong with it, when it is not a memfd of exactly the right size whose size is sealed.</returns>
    internal static RingMemory? Adopt(int fileDescriptor, int capacityBytes, out string? error)
    {
        int seals = FileControl(fileDescriptor, GetSeals, 0);
        long wanted = RingLayout.MappingBytes(capacityBytes);
        error = null;
        // Seals first: a size that was read before them could still change.
        if (seals < 0)
            error = $"the ring's descriptor is not a memfd: {Marshal.GetLastPInvokeErrorMessage()}";
        else if ((seals & (SealShrink | SealGrow)) != (SealShrink | SealGrow))
            error = $"the ring has the seals 0x{seals:x}; needed: 0x{SealShrink | SealGrow:x}, so that its size cannot change";
        else if (LinuxMemory.Seek(fileDescriptor, 0, SeekEnd) is var found && found != wanted)
            error = $"the ring has {found} bytes; its capacity of {capacityBytes} needs {wanted}";
        if (error is not null) return null;
        try
        {
            return new RingMemory(LinuxMemory.MapOrThrow(wanted, LinuxMemory.MapShared, fileDescriptor), capacityBytes);
        }
        catch (OutOfMemoryException e)
        {
            error = e.Message;
            return null;
        }
    }

    /// <summary>
    /// Seals the size of <paramref name="slab"/> where it was created so that it can be sealed; true when its size is fixed from here on.
    /// </summary>
    internal static bool TryFixSize(SharedSlab slab)
    {
        _ = FileControl(slab.FileDescriptor, AddSeals, SealShrink | SealGrow);
        return (Math.Max(0, FileControl(slab.FileDescriptor, GetSeals, 0)) & (SealShrink | SealGrow)) == (SealShrink | SealGrow);
    }

    /// <summary>This side's end of one of the two rings.</summary>
    /// <param name="fromCreator">The ring that the creator of the mapping writes, or the one that it reads.</param>
    /// <param name="writes">This side writes it.</param>
    /// <param name="ringBell">Called when the peer waits without sleeping on the ring's futex.</param>
    internal RingEnd End(bool fromCreator, bool writes, Action ringBell) => new(
        (byte*)Address + (fromCreator ? 0 : RingLayout.DirectionBytes),
        (byte*)Address + RingLayout.HeaderBytes + (fromCreator ? 0 : CapacityBytes),
        CapacityBytes, writes, ringBell);

    private protected override void Free(void* address) => LinuxMemory.Unmap(address, (nuint)LengthBytes);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int FileControl(int fd, int command, int argument);
}
