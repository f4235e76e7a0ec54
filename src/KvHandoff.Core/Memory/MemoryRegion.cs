using System.Buffers;

namespace KvHandoff.Memory;

/// <summary>
/// A contiguous range of native memory at a fixed address, whoever owns it: this library's own slab, memory of the host engine,
/// or a memfd shared with another process. Cache blocks, sockets and kernels all address it by offset.
/// </summary>
/// <remarks>
/// Offsets and lengths are in bytes and are checked on every call. The region does not synchronise access to its bytes: two threads may
/// read and write disjoint ranges at once. <see cref="Dispose()"/> must not run while a span or memory over the region is in use.
/// </remarks>
public abstract unsafe class MemoryRegion : IDisposable
{
    private byte* _base;
    private int _disposed;

    private protected MemoryRegion(void* address, long lengthBytes)
    {
        _base = (byte*)address;
        LengthBytes = lengthBytes;
    }

    /// <summary>Size of the region in bytes.</summary>
    public long LengthBytes { get; }

    /// <summary>Address of the first byte.</summary>
    /// <exception cref="ObjectDisposedException">The region was disposed.</exception>
    public nint Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed != 0, this);
            return (nint)_base;
        }
    }

    /// <summary>Bytes <paramref name="offsetBytes"/> .. <paramref name="offsetBytes"/> + <paramref name="lengthBytes"/> of the region.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the region.</exception>
    public Span<byte> Span(long offsetBytes, int lengthBytes)
    {
        CheckRange(offsetBytes, lengthBytes);
        return new Span<byte>((byte*)Address + offsetBytes, lengthBytes);
    }

    /// <summary>The same range as memory that asynchronous socket calls accept; the bytes never move, so nothing needs pinning.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the region.</exception>
    public Memory<byte> Memory(long offsetBytes, int lengthBytes)
    {
        CheckRange(offsetBytes, lengthBytes);
        return new RegionMemory(this, offsetBytes, lengthBytes).Memory;
    }

    /// <summary>Writes <paramref name="value"/> to every byte.</summary>
    public void Fill(byte value)
    {
        byte* at = (byte*)Address;
        for (long done = 0; done < LengthBytes;)
        {
            int step = (int)Math.Min(LengthBytes - done, 1 << 30);
            new Span<byte>(at + done, step).Fill(value);
            done += step;
        }
    }

    /// <summary>Gives the memory back to its owner. Further calls do nothing.</summary>
    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what the region owns; called once.</summary>
    private protected abstract void Free(void* address);

    private protected void Release()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        Free(_base);
        _base = null;
    }

    private void CheckRange(long offsetBytes, int lengthBytes)
    {
        if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes > LengthBytes - lengthBytes)
            throw new ArgumentOutOfRangeException(nameof(offsetBytes),
                $"Range [{offsetBytes}, {offsetBytes} + {lengthBytes}) is outside the region of {LengthBytes} bytes.");
    }

    private sealed class RegionMemory(MemoryRegion region, long offsetBytes, int lengthBytes) : MemoryManager<byte>
    {
        public override Span<byte> GetSpan() => region.Span(offsetBytes, lengthBytes);

        public override MemoryHandle Pin(int elementIndex = 0)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)lengthBytes, nameof(elementIndex));
            return new MemoryHandle((byte*)region.Address + offsetBytes + elementIndex);
        }

        public override void Unpin() { }

        protected override void Dispose(bool disposing) { }
    }
}
