using System.Collections.Immutable;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>The listener's regions at the connecting side: descriptors until they are mapped, mappings until disposal.</summary>
internal sealed class SharedMemoryRegions(long[] lengths, int[] descriptors) : IDisposable
{
    private readonly Lock _gate = new();
    private ImmutableArray<MemoryRegion> _mapped;
    private bool _disposed;

    internal static SharedMemoryRegions None { get; } = new([], []);

    internal int Count => lengths.Length;

    internal ImmutableArray<MemoryRegion> Map()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (!_mapped.IsDefault) return _mapped;
            ImmutableArray<MemoryRegion>.Builder mapping = ImmutableArray.CreateBuilder<MemoryRegion>(Count);
            try
            {
                for (int i = 0; i < Count; i++)
                {
                    // Open takes the descriptor over, also when it throws.
                    int fd = Interlocked.Exchange(ref descriptors[i], -1);
                    if (fd < 0) throw new IOException($"Region {i} of {lengths[i]} bytes could not be mapped before");
                    mapping.Add(SharedSlab.Open(fd, lengths[i]));
                }
                return _mapped = mapping.MoveToImmutable();
            }
            catch (Exception e) when (e is OutOfMemoryException or InvalidDataException)
            {
                foreach (MemoryRegion region in mapping) region.Dispose();
                throw new IOException($"Mapping the listener's region {mapping.Count} of {Count} failed: {e.Message}", e);
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed || Count == 0) return;
            _disposed = true;
            foreach (int fd in descriptors) SharedMemorySocket.CloseDescriptor(fd);
            if (_mapped.IsDefault) return;
            foreach (MemoryRegion region in _mapped) region.Dispose();
        }
    }
}
