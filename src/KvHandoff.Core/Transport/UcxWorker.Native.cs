using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>
/// A UCX worker: the queues of one connection. All calls but <see cref="Signal"/> have to come one at a time; the owner holds a lock.
/// </summary>
internal sealed unsafe class UcxWorker
{
    /// <summary>Number of the one kind of active message that passes.</summary>
    internal const uint MessageId = 7;

    private static readonly delegate* unmanaged[Cdecl]<nint, void*, nint*, int> Create = (delegate* unmanaged[Cdecl]<nint, void*, nint*, int>)UcxLibrary.Export("ucp_worker_create");
    private static readonly delegate* unmanaged[Cdecl]<nint, void> Destroy = (delegate* unmanaged[Cdecl]<nint, void>)UcxLibrary.Export("ucp_worker_destroy");
    private static readonly delegate* unmanaged[Cdecl]<nint, uint> Advance = (delegate* unmanaged[Cdecl]<nint, uint>)UcxLibrary.Export("ucp_worker_progress");
    private static readonly delegate* unmanaged[Cdecl]<nint, int> ArmEvents = (delegate* unmanaged[Cdecl]<nint, int>)UcxLibrary.Export("ucp_worker_arm");
    private static readonly delegate* unmanaged[Cdecl]<nint, int> SignalEvent = (delegate* unmanaged[Cdecl]<nint, int>)UcxLibrary.Export("ucp_worker_signal");
    private static readonly delegate* unmanaged[Cdecl]<nint, int*, int> EventOf = (delegate* unmanaged[Cdecl]<nint, int*, int>)UcxLibrary.Export("ucp_worker_get_efd");
    private static readonly delegate* unmanaged[Cdecl]<nint, void*, int> SetHandler = (delegate* unmanaged[Cdecl]<nint, void*, int>)UcxLibrary.Export("ucp_worker_set_am_recv_handler");

    private static readonly delegate* unmanaged[Cdecl]<nint, byte**, nuint*, int> AddressOf = (delegate* unmanaged[Cdecl]<nint, byte**, nuint*, int>)UcxLibrary.Export("ucp_worker_get_address");
    private static readonly delegate* unmanaged[Cdecl]<nint, byte*, void> AddressRelease = (delegate* unmanaged[Cdecl]<nint, byte*, void>)UcxLibrary.Export("ucp_worker_release_address");

    // Callbacks name their owner by a number: nothing is pinned, and one that has gone is not found.
    private static readonly ConcurrentDictionary<nint, IUcxEvents> Owners = new();
    private static long _lastKey;
    private static int _count;

    private readonly nint _handle;

    internal UcxWorker(UcxContext context, IUcxEvents owner)
    {
        byte* parameters = stackalloc byte[UcxStructures.WorkerBytes];
        new Span<byte>(parameters, UcxStructures.WorkerBytes).Clear();
        *(ulong*)parameters = UcxStructures.WorkerThreadModeField;
        *(int*)(parameters + UcxStructures.WorkerThreadMode) = UcxStructures.SerializedThreads;
        nint handle;
        int descriptor;
        UcxContext.Check(Create(context.Handle, parameters, &handle), "make a worker");
        _handle = handle;
        Interlocked.Increment(ref _count);
        Key = (nint)Interlocked.Increment(ref _lastKey);
        Owners[Key] = owner;
        try
        {
            UcxContext.Check(EventOf(handle, &descriptor), "give the event descriptor of a worker");
            EventDescriptor = descriptor;
            byte* handler = stackalloc byte[UcxStructures.HandlerBytes];
            new Span<byte>(handler, UcxStructures.HandlerBytes).Clear();
            *(ulong*)handler = UcxStructures.HandlerIdField | UcxStructures.HandlerFlagsField | UcxStructures.HandlerCallbackField | UcxStructures.HandlerArgumentField;
            *(uint*)(handler + UcxStructures.HandlerId) = MessageId;
            *(uint*)(handler + UcxStructures.HandlerFlags) = UcxStructures.WholeMessage;
            *(nint*)(handler + UcxStructures.HandlerCallback) = (nint)(delegate* unmanaged[Cdecl]<nint, byte*, nuint, byte*, nuint, ulong*, int>)&OnMessage;
            *(nint*)(handler + UcxStructures.HandlerArgument) = Key;
            UcxContext.Check(SetHandler(handle, handler), "take active messages");
        }
        catch
        {
            Close();
            throw;
        }
    }

    /// <summary>Workers of this process that have not been closed.</summary>
    internal static int Count => Volatile.Read(ref _count);

    internal nint Handle => _handle;

    /// <summary>Names the owner in callbacks.</summary>
    internal nint Key { get; }

    /// <summary>Readable after <see cref="Arm"/> when something has happened.</summary>
    internal int EventDescriptor { get; }

    /// <summary>The function that UCX calls with a failed endpoint; its argument is <see cref="Key"/>.</summary>
    internal static nint FailureHandler => (nint)(delegate* unmanaged[Cdecl]<nint, nint, int, void>)&OnFailure;

    /// <summary>Lets UCX work; callbacks happen inside. Whether there was something to do.</summary>
    internal bool Progress() => Advance(_handle) != 0;

    /// <summary>False when there is something to do already: then <see cref="Progress"/> comes before another try.</summary>
    internal bool Arm() => ArmEvents(_handle) != UcxStructures.Busy;

    /// <summary>Makes the event descriptor readable; from any thread.</summary>
    internal void Signal() => _ = SignalEvent(_handle);

    /// <summary>Where peers of this worker find it.</summary>
    internal byte[] Address()
    {
        byte* address;
        nuint length;
        UcxContext.Check(AddressOf(_handle, &address, &length), "give the address of a worker");
        byte[] bytes = new ReadOnlySpan<byte>(address, (int)length).ToArray();
        AddressRelease(_handle, address);
        return bytes;
    }

    /// <summary>Ends the worker, whose endpoints have been closed.</summary>
    internal void Close()
    {
        Owners.TryRemove(Key, out _);
        Destroy(_handle);
        Interlocked.Decrement(ref _count);
    }

    // What the owner throws must not run through UCX's frames; the owners catch what they expect, and a defect ends the endpoint.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnMessage(nint key, byte* header, nuint headerBytes, byte* data, nuint dataBytes, ulong* attributes)
    {
        if (!Owners.TryGetValue(key, out IUcxEvents? owner)) return UcxStructures.Ok;
        try
        {
            bool complete = (*attributes & UcxStructures.RendezvousMessage) == 0 && headerBytes <= int.MaxValue && dataBytes <= int.MaxValue;
            owner.MessageArrived(complete ? new ReadOnlySpan<byte>(header, (int)headerBytes) : default, complete ? new ReadOnlySpan<byte>(data, (int)dataBytes) : default, complete);
        }
        catch (Exception)
        {
            owner.EndpointFailed(UcxStructures.Canceled);
        }

        return UcxStructures.Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnFailure(nint key, nint endpoint, int status)
    {
        if (Owners.TryGetValue(key, out IUcxEvents? owner)) owner.EndpointFailed(status);
    }
}
