using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Native;

/// <summary>Caches and the blocks in them.</summary>
static unsafe class CacheExports
{
    internal const uint Shared = 1, HostBlocks = 2;

    const long MostTokens = 1L << 40;

    [UnmanagedCallersOnly(EntryPoint = "kvh_cache_create")]
    static int Create(ulong layout, KvhCacheOptions* options, ulong* cache)
    {
        try
        {
            HostStructs.RequireNotNull(cache);
            using Pin<NativeLayout> pin = HandleTable.Use<NativeLayout>(layout);
            KvhCacheOptions given = HostStructs.Read(options);
            if ((given.Flags & ~Shared) != 0) throw new StatusException(Status.Enum, $"flags are 0x{given.Flags:x}; a cache in the library's memory may have KVH_CACHE_SHARED.");
            if (given.Tokens < 1 || given.Tokens > MostTokens) throw new StatusException(Status.Argument, $"tokens is {given.Tokens}; allowed: 1 to {MostTokens}.");
            KvCacheLayout described = pin.Target.Layout;
            PagedKvCache made = (given.Flags & Shared) == 0
                ? PagedKvCache.Allocate(described, given.Tokens, given.Sequences)
                : PagedKvCache.Over(described, SharedSlab.Create("kvhandoff", PagedKvCache.RequiredBytes(described, given.Tokens, given.Sequences)), given.Tokens, owned: true, given.Sequences);
            *cache = HandleTable.Add(new NativeCache(made, [], given));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(layout, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_cache_wrap")]
    static int Wrap(ulong layout, KvhGroupMemory* groups, int groupCount, KvhCacheOptions* options, ulong* cache)
    {
        try
        {
            HostStructs.RequireNotNull(cache);
            HostStructs.RequireNotNull(groups);
            using Pin<NativeLayout> pin = HandleTable.Use<NativeLayout>(layout);
            KvhCacheOptions given = HostStructs.ReadOrDefault(options);
            if ((given.Flags & ~HostBlocks) != 0) throw new StatusException(Status.Enum, $"flags are 0x{given.Flags:x}; a cache over the host's memory may have KVH_CACHE_HOST_BLOCKS.");
            KvCacheLayout described = pin.Target.Layout;
            if (groupCount != described.Groups.Length) throw new StatusException(Status.Argument, $"Memory of {groupCount} groups is given; the layout has {described.Groups.Length}.");
            var regions = new List<MemoryRegion>();
            var made = new PagedKvCache(described, HostMemory.Wrap(described, groups, regions), given.Sequences);
            *cache = HandleTable.Add(new NativeCache(made, [.. regions], given));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(layout, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_cache_describe")]
    static int Describe(ulong cache, KvhCacheInfo* info)
    {
        try
        {
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            HostStructs.Write(info, new KvhCacheInfo { FreeTokens = pin.Target.Cache.FreeTokens, UsedBlocks = pin.Target.Cache.UsedBlocks });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_cache_give_blocks")]
    static int GiveBlocks(ulong cache, int group, int* blocks, int count)
    {
        try
        {
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            pin.Target.Give(GroupOf(pin.Target, group), BlocksOf(pin.Target, group, blocks, count));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_cache_take_blocks")]
    static int TakeBlocks(ulong cache, int group, int* blocks, int count)
    {
        try
        {
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            if (pin.Target.Take(GroupOf(pin.Target, group), count, BlocksOf(pin.Target, group, blocks, count))) return Status.Ok;
            throw new StatusException(Status.NoSpace, $"{count} blocks of group {group} are asked for; {pin.Target.Cache.Pools[group].FreeSlots} are free.");
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_cache_block")]
    static int Block(ulong cache, int layer, int block, int plane, void** address, long* bytes)
    {
        try
        {
            HostStructs.RequireNotNull(address);
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            PagedKvCache c = pin.Target.Cache;
            HostStructs.RequireRange(layer, 0, c.Layout.LayerCount - 1, "layer");
            KvBlockPool pool = c.Pools[c.Layout.GroupOf(layer)];
            HostStructs.RequireRange(block, 0, pool.Capacity - 1, "block");
            HostStructs.RequireEnum(plane, 0, pool.Geometry.Planes - 1, "plane");
            int index = c.Layout.IndexInGroup(layer);
            Span<byte> span = pool.KeepsPlanesApart ? pool.Plane(index, block, (KvPlane)plane)
                : plane == 0 ? pool.Block(index, block) : pool.Plane(index, block, KvPlane.Value);
            *address = System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetReference(span));
            if (bytes != null) *bytes = span.Length;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_cache_set_scale")]
    static int SetScale(ulong cache, int layer, int head, int plane, float scale)
    {
        try
        {
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            PagedKvCache c = pin.Target.Cache;
            HostStructs.RequireRange(layer, 0, c.Layout.LayerCount - 1, "layer");
            KvBlockPool pool = c.Pools[c.Layout.GroupOf(layer)];
            HostStructs.RequireEnum(plane, 0, pool.Geometry.Planes - 1, "plane");
            HostStructs.RequireRange(head, -1, pool.Geometry.KvHeads - 1, "head");
            for (int h = head < 0 ? 0 : head; h < (head < 0 ? pool.Geometry.KvHeads : head + 1); h++) pool.SetStaticScale(c.Layout.IndexInGroup(layer), h, (KvPlane)plane, scale);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    static int GroupOf(NativeCache cache, int group) => HostStructs.RequireRange(group, 0, cache.Cache.Pools.Length - 1, "group");

    static Span<int> BlocksOf(NativeCache cache, int group, int* blocks, int count)
    {
        HostStructs.RequireRange(count, 0, cache.Cache.Pools[GroupOf(cache, group)].Capacity, "count");
        if (count > 0) HostStructs.RequireNotNull(blocks);
        return new Span<int>(blocks, count);
    }
}
