using KvHandoff.Memory;

namespace KvHandoff.Layout;

/// <summary>Where the blocks of one layer lie: block <c>s</c> starts at <c>OffsetBytes + s * StrideBytes</c> of the region.</summary>
public readonly record struct LayerStorage(MemoryRegion Region, long OffsetBytes, long StrideBytes);

/// <summary>
/// The blocks of one layer group: slots with reference counts and generations over memory that this library or the host owns. One slot
/// is one block in every layer of the group.
/// </summary>
/// <remarks>Allocation and release are thread-safe; the block bytes are not synchronised. Reading a block takes no lock.</remarks>
public sealed class KvBlockPool
{
    private readonly LayerStorage[] _storage;
    private readonly int[] _references;
    private readonly uint[] _generations;
    private readonly int[] _free;
    private readonly Lock _gate = new();
    private int _freeCount;

    /// <summary>A pool over memory that the caller describes layer by layer (an engine's own cache, for instance).</summary>
    /// <param name="group">The layer group; <paramref name="storage"/> has one entry per layer of it.</param>
    /// <param name="storage">Where each layer's blocks lie. The regions must outlive the pool.</param>
    /// <param name="slots">Blocks per layer, 1 or more.</param>
    /// <exception cref="ArgumentException">A layer's blocks overlap each other or do not fit into its region.</exception>
    public KvBlockPool(LayerGroup group, ReadOnlySpan<LayerStorage> storage, int slots)
    {
        ArgumentNullException.ThrowIfNull(group);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(slots);
        group.Validate();
        if (storage.Length != group.Layers.Length)
            throw new ArgumentException($"Storage for {storage.Length} layers was given; the group has {group.Layers.Length}.", nameof(storage));
        Group = group;
        Geometry = group.Geometry;
        for (int i = 0; i < storage.Length; i++)
        {
            LayerStorage s = storage[i];
            if (s.OffsetBytes < 0 || s.StrideBytes < Geometry.BlockBytes)
                throw new ArgumentException($"Layer {i}: stride {s.StrideBytes} is below the block size {Geometry.BlockBytes}, or offset {s.OffsetBytes} is negative.", nameof(storage));
            long end = checked(s.OffsetBytes + s.StrideBytes * (slots - 1) + Geometry.BlockBytes);
            if (end > s.Region.LengthBytes)
                throw new ArgumentException($"Layer {i}: {slots} blocks end at byte {end}; the region has {s.Region.LengthBytes}.", nameof(storage));
        }

        _storage = storage.ToArray();
        _references = new int[slots];
        _generations = new uint[slots];
        _free = new int[slots];
        for (int i = 0; i < slots; i++) _free[i] = slots - 1 - i;
        _freeCount = slots;
    }

    /// <summary>The group whose blocks these are.</summary>
    public LayerGroup Group { get; }

    /// <summary>Where rows lie inside a block.</summary>
    public BlockGeometry Geometry { get; }

    /// <summary>Slots in all.</summary>
    public int Capacity => _references.Length;

    /// <summary>Slots that nobody holds.</summary>
    public int FreeSlots => Volatile.Read(ref _freeCount);

    /// <summary>Bytes that a pool of <paramref name="slots"/> blocks over one region takes.</summary>
    public static long RequiredBytes(LayerGroup group, int slots) => checked((long)group.Layers.Length * slots * group.Geometry.BlockBytes);

    /// <summary>A pool laid out as <c>[layer][slot][block]</c> from <paramref name="offsetBytes"/> of one region.</summary>
    public static KvBlockPool Over(LayerGroup group, MemoryRegion region, int slots, long offsetBytes = 0)
    {
        int blockBytes = group.Geometry.BlockBytes;
        var storage = new LayerStorage[group.Layers.Length];
        for (int i = 0; i < storage.Length; i++)
            storage[i] = new LayerStorage(region, offsetBytes + (long)i * slots * blockBytes, blockBytes);
        return new KvBlockPool(group, storage, slots);
    }

    /// <summary>Takes as many slots as <paramref name="handles"/> is long, each with one reference, or none at all.</summary>
    /// <returns>False, and nothing taken, when fewer are free.</returns>
    public bool TryAllocate(Span<SlotHandle> handles)
    {
        lock (_gate)
        {
            if (handles.Length > _freeCount) return false;
            for (int i = 0; i < handles.Length; i++)
            {
                int slot = _free[--_freeCount];
                _references[slot] = 1;
                handles[i] = new SlotHandle(slot, _generations[slot]);
            }

            return true;
        }
    }

    /// <summary>Adds a reference, for a second sequence that shares the block or for a transfer that reads it.</summary>
    /// <exception cref="InvalidOperationException">The slot was freed since the handle was granted.</exception>
    public void AddReference(SlotHandle handle)
    {
        lock (_gate)
        {
            Check(handle);
            _references[handle.Slot]++;
        }
    }

    /// <summary>Drops a reference; the last one frees the slot and ends its generation.</summary>
    /// <exception cref="InvalidOperationException">The slot was freed since the handle was granted.</exception>
    public void Release(SlotHandle handle)
    {
        lock (_gate)
        {
            Check(handle);
            if (--_references[handle.Slot] > 0) return;
            _generations[handle.Slot]++;
            _free[_freeCount++] = handle.Slot;
        }
    }

    /// <summary>Whether the slot still belongs to whom the handle was granted.</summary>
    public bool IsCurrent(SlotHandle handle)
    {
        if ((uint)handle.Slot >= (uint)_references.Length) return false;
        lock (_gate) return _references[handle.Slot] > 0 && _generations[handle.Slot] == handle.Generation;
    }

    /// <summary>References to the slot; 0 when it is free.</summary>
    public int References(int slot)
    {
        lock (_gate) return _references[slot];
    }

    /// <summary>The bytes of one block in one layer of the group (0 to layers - 1, the position within the group).</summary>
    public Span<byte> Block(int layerInGroup, int slot)
    {
        LayerStorage s = Locate(layerInGroup, slot);
        return s.Region.Span(s.OffsetBytes + s.StrideBytes * slot, Geometry.BlockBytes);
    }

    /// <summary>The same bytes as memory for socket calls.</summary>
    public Memory<byte> BlockMemory(int layerInGroup, int slot)
    {
        LayerStorage s = Locate(layerInGroup, slot);
        return s.Region.Memory(s.OffsetBytes + s.StrideBytes * slot, Geometry.BlockBytes);
    }

    /// <summary>Address of the same bytes, for vectored system calls; fixed while the region lives.</summary>
    public nint BlockAddress(int layerInGroup, int slot)
    {
        LayerStorage s = Locate(layerInGroup, slot);
        return s.Region.Address + (nint)(s.OffsetBytes + s.StrideBytes * slot);
    }

    /// <summary>Writes <paramref name="value"/> over every block, free or not. For tests and benchmarks: poison before a transfer.</summary>
    public void Fill(byte value)
    {
        for (int layer = 0; layer < _storage.Length; layer++)
            for (int slot = 0; slot < Capacity; slot++) Block(layer, slot).Fill(value);
    }

    private LayerStorage Locate(int layerInGroup, int slot)
    {
        if ((uint)slot >= (uint)_references.Length) throw new ArgumentOutOfRangeException(nameof(slot), slot, $"The pool has {Capacity} slots.");
        return _storage[layerInGroup];
    }

    private void Check(SlotHandle handle)
    {
        if ((uint)handle.Slot >= (uint)_references.Length || _references[handle.Slot] == 0 || _generations[handle.Slot] != handle.Generation)
        {
            uint now = (uint)handle.Slot < (uint)_references.Length ? _generations[handle.Slot] : 0;
            throw new InvalidOperationException($"Slot {handle} is stale: generation is now {now}, capacity {Capacity}.");
        }
    }
}
