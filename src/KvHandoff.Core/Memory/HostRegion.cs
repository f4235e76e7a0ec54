namespace KvHandoff.Memory;

/// <summary>
/// Memory that the host engine owns (its KV pool, pinned for an accelerator's DMA or not). Disposing never frees it; the optional
/// callback tells the host that this library no longer touches it.
/// </summary>
public sealed unsafe class HostRegion : MemoryRegion
{
    private readonly Action? _released;

    private HostRegion(void* address, long lengthBytes, Action? released) : base(address, lengthBytes) => _released = released;

    /// <summary>Wraps <paramref name="lengthBytes"/> bytes at <paramref name="address"/>; the host keeps them mapped until <paramref name="released"/> ran.</summary>
    /// <exception cref="ArgumentException">The address is null or the range wraps around the address space.</exception>
    public static HostRegion Wrap(nint address, long lengthBytes, Action? released = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(lengthBytes);
        if (address == 0) throw new ArgumentException("The host's memory has a null address.", nameof(address));
        if ((ulong)address > ulong.MaxValue - (ulong)lengthBytes)
            throw new ArgumentException($"{lengthBytes} bytes at 0x{address:x} wrap around the address space.", nameof(lengthBytes));
        return new HostRegion((void*)address, lengthBytes, released);
    }

    private protected override void Free(void* address) => _released?.Invoke();
}
