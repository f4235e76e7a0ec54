using System.Runtime.InteropServices;
using KvHandoff.Layout;

namespace KvHandoff.Native;

/// <summary>A sequence: the host's own, or that of a handoff while it lands, which gives nothing back.</summary>
sealed class NativeSequence(KvSequence sequence, NativeCache cache, NativeIncoming? landing = null)
    : NativeObject(landing is null ? [cache] : [cache, landing])
{
    internal NativeCache Cache => cache;

    /// <summary>The sequence, if it can still be read.</summary>
    internal KvSequence Sequence
    {
        get
        {
            landing?.RequireNotFailed();
            return sequence;
        }
    }

    /// <summary>The sequence, to change it.</summary>
    internal KvSequence Own => landing is null ? sequence : throw new StatusException(Status.State, "The sequence belongs to a handoff; kvh_incoming_take makes it the host's.");

    protected override void Free()
    {
        if (landing is null) sequence.Dispose();
    }
}

/// <summary>Sequences and their rows.</summary>
static unsafe class SequenceExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_create")]
    static int Create(ulong cache, ulong* sequence)
    {
        try
        {
            HostStructs.RequireNotNull(sequence);
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            *sequence = HandleTable.Add(new NativeSequence(pin.Target.Cache.CreateSequence(), pin.Target));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_adopt")]
    static int Adopt(ulong cache, KvhBlockSpan* groups, int groupCount, int tokens, ulong* sequence)
    {
        try
        {
            HostStructs.RequireNotNull(sequence);
            HostStructs.RequireNotNull(groups);
            using Pin<NativeCache> pin = HandleTable.Use<NativeCache>(cache);
            *sequence = HandleTable.Add(new NativeSequence(pin.Target.Adopt(groups, groupCount, tokens), pin.Target));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(cache, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_reserve")]
    static int Reserve(ulong sequence, int tokens)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            HostStructs.RequireRange(tokens, 0, Wire.WireConstants.MaxTokens, "tokens");
            if (pin.Target.Own.TryReserve(tokens)) return Status.Ok;
            throw new StatusException(Status.NoSpace, $"Room for {tokens} tokens is asked for; the sequence has {pin.Target.Own.Capacity}, and {pin.Target.Cache.Cache.FreeTokens} more are free.");
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_write")]
    static int Write(ulong sequence, int layer, int start, int tokens, float* keys, float* values)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            KvSequence own = pin.Target.Own;
            RowSpans rows = Rows(own.Cache.Layout, layer, tokens, keys, values);
            own.WriteRows(layer, start, rows.Keys, rows.Values);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_advance")]
    static int Advance(ulong sequence, int tokens)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            pin.Target.Own.Advance(tokens);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_describe")]
    static int Describe(ulong sequence, KvhSequenceInfo* info)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            HostStructs.Write(info, new KvhSequenceInfo { Tokens = pin.Target.Sequence.Tokens, Capacity = pin.Target.Sequence.Capacity });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_blocks")]
    static int Blocks(ulong sequence, int group, int* blocks, int capacity, int* count)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            HostStructs.RequireNotNull(count);
            HostStructs.RequireRange(group, 0, pin.Target.Cache.Cache.Pools.Length - 1, "group");
            HostStructs.RequireRange(capacity, 0, int.MaxValue, "capacity");
            if (capacity > 0) HostStructs.RequireNotNull(blocks);
            ReadOnlySpan<SlotHandle> slots = pin.Target.Sequence.Table(group).Slots;
            *count = slots.Length;
            for (int i = 0; i < Math.Min(capacity, slots.Length); i++) blocks[i] = slots[i].Slot;
            return slots.Length <= capacity ? Status.Ok : Status.Buffer;
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_sequence_keep_blocks")]
    static int KeepBlocks(ulong sequence)
    {
        try
        {
            using Pin<NativeSequence> pin = HandleTable.Use<NativeSequence>(sequence);
            pin.Target.Cache.KeepBlocksOf(pin.Target.Own);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(sequence, e);
        }
    }

    /// <summary>The host's fp32 rows as spans, whose lengths follow from the layout.</summary>
    internal static RowSpans Rows(KvCacheLayout layout, int layer, int tokens, float* keys, float* values)
    {
        HostStructs.RequireRange(layer, 0, layout.LayerCount - 1, "layer");
        HostStructs.RequireRange(tokens, 0, Wire.WireConstants.MaxTokens, "tokens");
        LayerGroup group = layout.Group(layer);
        long elements = (long)tokens * group.KvHeads * group.HeadDim;
        if (elements > int.MaxValue) throw new StatusException(Status.Argument, $"{tokens} tokens have {elements} elements; write at most {int.MaxValue} at once.");
        if (tokens > 0) HostStructs.RequireNotNull(keys);
        if (tokens > 0 && group.Planes == 2) HostStructs.RequireNotNull(values);
        return new RowSpans(new ReadOnlySpan<float>(keys, (int)elements), new ReadOnlySpan<float>(values, group.Planes == 2 ? (int)elements : 0));
    }
}

/// <summary>Keys and values of some tokens.</summary>
readonly ref struct RowSpans(ReadOnlySpan<float> keys, ReadOnlySpan<float> values)
{
    internal ReadOnlySpan<float> Keys { get; } = keys;

    internal ReadOnlySpan<float> Values { get; } = values;
}
