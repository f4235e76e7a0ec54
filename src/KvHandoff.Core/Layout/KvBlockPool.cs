using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>Where the blocks of one layer lie: block <c>s</c> starts at <c>OffsetBytes + s * StrideBytes</c> of the region.</summary>
public readonly record struct LayerStorage(MemoryRegion Region, long OffsetBytes, long StrideBytes)
{
    /// <summary>
    /// Where the values lie when an engine keeps them apart from the keys; a block is then two pieces, and the storage itself describes
    /// the keys. Null when K and V of a block lie together.
    /// </summary>
    public PlaneStorage? Values { get; init; }
}

/// <summary>Where the values of one layer lie: those of block <c>s</c> start at <c>OffsetBytes + s * StrideBytes</c> of the region.</summary>
public readonly record struct PlaneStorage(MemoryRegion Region, long OffsetBytes, long StrideBytes);

/// <summary>
/// The blocks of one layer group: slots with reference counts and generations over memory that this library or the host owns. One slot
/// is one block in every layer of the group.
/// </summary>
/// <remarks>Allocation and release are thread-safe; the block bytes are not synchronised. Reading a block takes no lock.</remarks>
public sealed class KvBlockPool
{
    private const float SmallestScale = 7.52316385e-37f;

    private readonly LayerStorage[] _storage;
    private readonly int[] _references;
    private readonly uint[] _generations;
    private readonly int[] _free;
    private readonly float[] _staticScales;
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
        bool apart = storage[0].Values is not null;
        for (int i = 0; i < storage.Length; i++)
        {
            LayerStorage s = storage[i];
            if (s.Values is not null != apart)
                throw new ArgumentException($"Layer {i} keeps K and V {(apart ? "together" : "apart")}, layer 0 does not; all layers of a pool are alike.", nameof(storage));
            CheckRoom(i, new PlaneStorage(s.Region, s.OffsetBytes, s.StrideBytes), apart ? Geometry.PlaneBytes : Geometry.BlockBytes, slots);
            if (s.Values is { } values) CheckRoom(i, values, Geometry.PlaneBytes, slots);
        }

        if (apart && (group.Order == DimensionOrder.HeadMajor || group.HasTail || group.Planes != 2))
            throw new ArgumentException($"K and V of order {group.Order}, stored as {group.Form(KvPlane.Key)}, cannot lie apart; only orders that put K before V, without scales in the blocks, can.", nameof(storage));
        KeepsPlanesApart = apart;
        _staticScales = new float[storage.Length * group.Planes * group.KvHeads];
        Array.Fill(_staticScales, 1f);
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

    /// <summary>Whether the values lie apart from the keys, so that a block is no single run of bytes.</summary>
    public bool KeepsPlanesApart { get; }

    /// <summary>Where each layer's blocks lie.</summary>
    public ReadOnlyMemory<LayerStorage> Storage => _storage;

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

    /// <summary>Adds a reference unless the slot was freed since the handle was granted.</summary>
    public bool TryAddReference(SlotHandle handle)
    {
        lock (_gate)
        {
            if (!Holds(handle)) return false;
            _references[handle.Slot]++;
            return true;
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
        lock (_gate) return Holds(handle);
    }

    /// <summary>References to the slot; 0 when it is free.</summary>
    public int References(int slot)
    {
        lock (_gate) return _references[slot];
    }

    /// <summary>The bytes of one block in one layer of the group (0 to layers - 1, the position within the group).</summary>
    /// <exception cref="InvalidOperationException">K and V lie apart.</exception>
    public Span<byte> Block(int layerInGroup, int slot)
    {
        LayerStorage s = Locate(layerInGroup, slot);
        return KeepsPlanesApart
            ? throw new InvalidOperationException($"K and V of this pool lie apart: ask for a plane of slot {slot}.")
            : s.Region.Span(s.OffsetBytes + s.StrideBytes * slot, Geometry.BlockBytes);
    }

    /// <summary>The bytes of K or of V of one block, from the first row on; offsets in it are those of <see cref="PlaneGeometry"/>.</summary>
    public Span<byte> Plane(int layerInGroup, int slot, KvPlane plane)
    {
        LayerStorage s = Locate(layerInGroup, slot);
        if (!KeepsPlanesApart) return Block(layerInGroup, slot)[Geometry.Plane(plane).OffsetBytes..];
        if (plane == KvPlane.Key) return s.Region.Span(s.OffsetBytes + s.StrideBytes * slot, Geometry.PlaneBytes);
        PlaneStorage values = s.Values!.Value;
        return values.Region.Span(values.OffsetBytes + values.StrideBytes * slot, Geometry.PlaneBytes);
    }

    /// <summary>The scales that one block stores for one head of K or of V; empty when it stores none.</summary>
    public Span<byte> Scales(int layerInGroup, int slot, int head, KvPlane plane)
    {
        int bytes = Geometry.ScaleBytesPerHead(plane);
        return bytes == 0 ? default : Block(layerInGroup, slot).Slice(Geometry.ScaleOffset(head, plane), bytes);
    }

    /// <summary>The static scale of a head of K or of V: 1 until the host sets it. Meaningful for scales per tensor and per head.</summary>
    public float StaticScale(int layerInGroup, int head, KvPlane plane) => _staticScales[StaticIndex(layerInGroup, head, plane)];

    /// <summary>Sets a static scale; a scale per tensor is set for every head alike. Before the first row is written.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The scale is not finite, below 2^-120, or not one of the group's scale type, or the head or layer does not exist.</exception>
    public void SetStaticScale(int layerInGroup, int head, KvPlane plane, float scale)
    {
        // Below 2^-120 the inverse that codes are made with is no finite number; a BF16 scale travels in two bytes.
        if (!float.IsFinite(scale) || scale < SmallestScale) throw new ArgumentOutOfRangeException(nameof(scale), scale, "A scale is a finite number of at least 2^-120.");
        if (Group.ScaleType == ScaleType.BFloat16 && (float)(BFloat16)scale != scale)
            throw new ArgumentOutOfRangeException(nameof(scale), scale, $"Scales of this group are bf16, which {scale} is not: the nearest is {(float)(BFloat16)scale}.");
        _staticScales[StaticIndex(layerInGroup, head, plane)] = scale;
    }

    /// <summary>Writes <paramref name="value"/> over every block, free or not. For tests and benchmarks: poison before a transfer.</summary>
    public void Fill(byte value)
    {
        for (int layer = 0; layer < _storage.Length; layer++)
        {
            for (int slot = 0; slot < Capacity; slot++)
            {
                if (!KeepsPlanesApart) Block(layer, slot).Fill(value);
                else for (int plane = 0; plane < Geometry.Planes; plane++) Plane(layer, slot, (KvPlane)plane).Fill(value);
            }
        }
    }

    private static void CheckRoom(int layer, PlaneStorage s, int bytes, int slots)
    {
        if (s.OffsetBytes < 0 || s.StrideBytes < bytes)
            throw new ArgumentException($"Layer {layer}: stride {s.StrideBytes} is below the block size {bytes}, or offset {s.OffsetBytes} is negative.", "storage");
        long end = checked(s.OffsetBytes + s.StrideBytes * (slots - 1) + bytes);
        if (end > s.Region.LengthBytes)
            throw new ArgumentException($"Layer {layer}: {slots} blocks end at byte {end}; the region has {s.Region.LengthBytes}.", "storage");
    }

    private int StaticIndex(int layerInGroup, int head, KvPlane plane)
    {
        if ((uint)layerInGroup >= (uint)_storage.Length || (uint)head >= (uint)Geometry.KvHeads || (int)plane >= Geometry.Planes)
            throw new ArgumentOutOfRangeException(nameof(head), head, $"Layer {layerInGroup}, head {head}, {plane} is not one of {_storage.Length} layers x {Geometry.KvHeads} heads x {Geometry.Planes} planes.");
        return (layerInGroup * Geometry.KvHeads + head) * Geometry.Planes + (int)plane;
    }

    private LayerStorage Locate(int layerInGroup, int slot)
    {
        if ((uint)slot >= (uint)_references.Length) throw new ArgumentOutOfRangeException(nameof(slot), slot, $"The pool has {Capacity} slots.");
        return _storage[layerInGroup];
    }

    private bool Holds(SlotHandle handle) =>
        (uint)handle.Slot < (uint)_references.Length && _references[handle.Slot] > 0 && _generations[handle.Slot] == handle.Generation;

    private void Check(SlotHandle handle)
    {
        if (!Holds(handle))
        {
            uint now = (uint)handle.Slot < (uint)_references.Length ? _generations[handle.Slot] : 0;
            throw new InvalidOperationException($"Slot {handle} is stale: generation is now {now}, capacity {Capacity}.");
        }
    }
}
