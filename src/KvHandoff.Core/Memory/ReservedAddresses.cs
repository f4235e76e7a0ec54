using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>
/// Addresses without memory behind them: where the blocks of a peer would lie if they were mapped here, to compute with. Reading or writing them is a fault. Linux only.
/// </summary>
internal sealed unsafe class ReservedAddresses : MemoryRegion
{
    private const int ProtNone = 0, MapNoReserve = 0x4000;

    private ReservedAddresses(void* address, long lengthBytes) : base(address, lengthBytes)
    {
    }

    /// <summary>Gives the addresses of a caller that forgot to back.</summary>
    ~ReservedAddresses() => Release();

    /// <summary>Reserves <paramref name="lengthBytes"/> addresses, 1 or more.</summary>
    /// <exception cref="OutOfMemoryException">The system refuses; the message has the size.</exception>
    internal static ReservedAddresses Reserve(long lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(lengthBytes);
        void* address = LinuxMemory.Map(null, (nuint)lengthBytes, ProtNone, LinuxMemory.MapPrivate | LinuxMemory.MapAnonymous | MapNoReserve, -1, 0);
        return address == (void*)-1
            ? throw new OutOfMemoryException($"Reserving {lengthBytes} addresses failed: {Marshal.GetLastPInvokeErrorMessage()}")
            : new ReservedAddresses(address, lengthBytes);
    }

    private protected override void Free(void* address) => LinuxMemory.Unmap(address, (nuint)LengthBytes);
}
