using System.Runtime.CompilerServices;

namespace KvHandoff.Native;

/// <summary>
/// Handles and what they stand for. A handle is a generation, a kind and a slot: of a closed object it fits nothing any more, whatever took
/// the slot. Looking one up takes no lock.
/// </summary>
static class HandleTable
{
    const int SlotBits = 24, KindShift = 24, GenerationShift = 32, MostSlots = 1 << SlotBits;

    static readonly Lock s_gate = new();
    static readonly Stack<int> s_free = new();
    static NativeObject?[] s_objects = new NativeObject?[64];
    static uint[] s_generations = new uint[64];
    static int s_used, s_open;

    internal static int Open => Volatile.Read(ref s_open);

    /// <summary>Gives an object its handle.</summary>
    internal static ulong Add(NativeObject target)
    {
        lock (s_gate)
        {
            if (!s_free.TryPop(out int slot))
            {
                if (s_used == MostSlots) throw new StatusException(Status.NoMemory, $"{MostSlots} handles are open.");
                slot = s_used++;
                if (slot == s_objects.Length)
                {
                    Array.Resize(ref s_generations, 2 * slot);
                    NativeObject?[] grown = new NativeObject?[2 * slot];
                    s_objects.CopyTo(grown, 0);
                    Volatile.Write(ref s_objects, grown);
                }
            }

            uint generation = ++s_generations[slot];
            if (generation == 0) generation = s_generations[slot] = 1;
            target.Handle = (ulong)generation << GenerationShift | (ulong)KindOf(target) << KindShift | (uint)slot;
            Volatile.Write(ref s_objects[slot], target);
            s_open++;
            return target.Handle;
        }
    }

    /// <summary>Enters the object of a handle.</summary>
    /// <exception cref="StatusException">The handle is stale, foreign, or of another kind; or the library cannot be used any more.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Pin<T> Use<T>(ulong handle) where T : NativeObject
    {
        LibraryState.Require();
        if (Find(handle) is T target && target.TryPin()) return new Pin<T>(target);
        throw Bad(handle, typeof(T).Name["Native".Length..]);
    }

    /// <summary>The object of a handle, not pinned; null when there is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static NativeObject? Find(ulong handle)
    {
        NativeObject?[] objects = Volatile.Read(ref s_objects);
        uint slot = (uint)handle & (MostSlots - 1);
        return slot < (uint)objects.Length && objects[slot] is { } target && target.Handle == handle ? target : null;
    }

    /// <summary>Closes a handle: it is stale from here on, and its object is freed when no call is inside.</summary>
    internal static int Close(ulong handle)
    {
        NativeObject target = Find(handle) ?? throw Bad(handle, "object");
        if (target.ClosingWaits) CallbackScope.RequireOutside();
        if (!target.TryClose(out int status))
            throw new StatusException(status, status == Status.InUse ? "Other handles depend on this one; close them first." : "The handle is being closed by another thread.");
        try
        {
            target.Finish();
        }
        finally
        {
            lock (s_gate)
            {
                int slot = (int)(handle & (MostSlots - 1));
                s_objects[slot] = null;
                s_free.Push(slot);
                s_open--;
            }
        }

        return Status.Ok;
    }

    /// <summary>What is open, the latest first.</summary>
    internal static NativeObject[] Snapshot()
    {
        lock (s_gate) return [.. s_objects.Where(o => o is not null).OrderByDescending(o => o!.Handle & (MostSlots - 1))!];
    }

    static StatusException Bad(ulong handle, string wanted)
    {
        string found = handle == 0 ? "0 is no handle" : Find(handle) is { } other ? $"handle {handle:x16} is of kind {other.GetType().Name["Native".Length..]}" : $"handle {handle:x16} is not open";
        return new StatusException(Status.Handle, $"Expected: {wanted}; {found}.");
    }

    static int KindOf(NativeObject target) => target switch
    {
        NativeLayout => 1,
        NativePlan => 2,
        NativeCache => 3,
        NativeSequence => 4,
        NativeBatch => 5,
        NativeSender => 6,
        NativeOutgoing => 7,
        NativeReceiver => 8,
        NativeIncoming => 9,
        NativeKeyring => 10,
        NativeTls => 11,
        _ => 0,
    };
}
