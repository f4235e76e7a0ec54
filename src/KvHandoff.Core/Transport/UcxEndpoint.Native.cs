using System.Runtime.InteropServices;
using System.Text;

namespace KvHandoff.Transport;

/// <summary>
/// A UCX endpoint: one end of a connection. Calls have to come one at a time, with those of its worker. What an operation returns is 0 when it is done, a request while it is
/// not, or an error (<see cref="UcxStructures.IsError"/>).
/// </summary>
internal sealed unsafe class UcxEndpoint
{
    private static readonly delegate* unmanaged[Cdecl]<nint, void*, nint*, int> Create = (delegate* unmanaged[Cdecl]<nint, void*, nint*, int>)UcxLibrary.Export("ucp_ep_create");
    private static readonly delegate* unmanaged[Cdecl]<nint, void*, nint> CloseEndpoint = (delegate* unmanaged[Cdecl]<nint, void*, nint>)UcxLibrary.Export("ucp_ep_close_nbx");
    private static readonly delegate* unmanaged[Cdecl]<nint, uint, void*, nuint, void*, nuint, void*, nint> SendMessage =
        (delegate* unmanaged[Cdecl]<nint, uint, void*, nuint, void*, nuint, void*, nint>)UcxLibrary.Export("ucp_am_send_nbx");
    private static readonly delegate* unmanaged[Cdecl]<nint, nint, nuint, ulong, nint, void*, nint> PutBytes =
        (delegate* unmanaged[Cdecl]<nint, nint, nuint, ulong, nint, void*, nint>)UcxLibrary.Export("ucp_put_nbx");
    private static readonly delegate* unmanaged[Cdecl]<nint, void*, nint> FlushEndpoint = (delegate* unmanaged[Cdecl]<nint, void*, nint>)UcxLibrary.Export("ucp_ep_flush_nbx");
    private static readonly delegate* unmanaged[Cdecl]<nint, void*, nint*, int> UnpackKey = (delegate* unmanaged[Cdecl]<nint, void*, nint*, int>)UcxLibrary.Export("ucp_ep_rkey_unpack");
    private static readonly delegate* unmanaged[Cdecl]<nint, void> DestroyKey = (delegate* unmanaged[Cdecl]<nint, void>)UcxLibrary.Export("ucp_rkey_destroy");
    private static readonly delegate* unmanaged[Cdecl]<nint, int> RequestStatus = (delegate* unmanaged[Cdecl]<nint, int>)UcxLibrary.Export("ucp_request_check_status");
    private static readonly delegate* unmanaged[Cdecl]<nint, void> RequestFree = (delegate* unmanaged[Cdecl]<nint, void>)UcxLibrary.Export("ucp_request_free");

    private static readonly delegate* unmanaged[Cdecl]<nint, nint, void> PrintInfo = (delegate* unmanaged[Cdecl]<nint, nint, void>)UcxLibrary.Export("ucp_ep_print_info");

    private readonly nint _handle;

    private UcxEndpoint(nint handle) => _handle = handle;

    /// <summary>
    /// Begins to connect to a worker; that it does not work shows as a failure of the endpoint. UCX takes no length with an address, so <paramref name="address"/> has zeros behind it.
    /// </summary>
    internal static UcxEndpoint Connect(UcxWorker worker, ReadOnlySpan<byte> address)
    {
        byte* parameters = stackalloc byte[UcxStructures.EndpointBytes];
        new Span<byte>(parameters, UcxStructures.EndpointBytes).Clear();
        *(ulong*)parameters = UcxStructures.EndpointAddressField | UcxStructures.EndpointErrorModeField | UcxStructures.EndpointErrorHandlerField;
        *(int*)(parameters + UcxStructures.EndpointErrorMode) = UcxStructures.PeerErrors;
        *(nint*)(parameters + UcxStructures.EndpointErrorHandler) = UcxWorker.FailureHandler;
        *(nint*)(parameters + UcxStructures.EndpointErrorArgument) = worker.Key;
        nint endpoint;
        fixed (byte* bytes = address)
        {
            *(nint*)(parameters + UcxStructures.EndpointAddress) = (nint)bytes;
            UcxContext.Check(Create(worker.Handle, parameters, &endpoint), "connect to the peer's worker");
        }

        return new UcxEndpoint(endpoint);
    }

    /// <summary>Sends one message of a header and data, whose memory stays as it is until the request is done.</summary>
    internal nint Send(nint header, int headerBytes, nint data, int dataBytes)
    {
        byte* parameters = stackalloc byte[UcxStructures.RequestBytes];
        *(uint*)(parameters + UcxStructures.RequestMask) = UcxStructures.RequestFlagsField;
        *(uint*)(parameters + UcxStructures.RequestFlags) = UcxStructures.EagerMessage;
        return SendMessage(_handle, UcxWorker.MessageId, (void*)header, (nuint)headerBytes, (void*)data, (nuint)dataBytes, parameters);
    }

    /// <summary>As above, with data from <paramref name="count"/> places, whose addresses and lengths at <paramref name="pieces"/> stay as they are as well.</summary>
    internal nint SendPieces(nint header, int headerBytes, nint pieces, int count)
    {
        byte* parameters = stackalloc byte[UcxStructures.RequestBytes];
        *(uint*)(parameters + UcxStructures.RequestMask) = UcxStructures.RequestFlagsField | UcxStructures.RequestDatatypeField;
        *(uint*)(parameters + UcxStructures.RequestFlags) = UcxStructures.EagerMessage;
        *(long*)(parameters + UcxStructures.RequestDatatype) = UcxStructures.PiecesDatatype;
        return SendMessage(_handle, UcxWorker.MessageId, (void*)header, (nuint)headerBytes, (void*)pieces, (nuint)count, parameters);
    }

    /// <summary>Begins to write into the peer's memory.</summary>
    internal nint Put(nint source, nint lengthBytes, ulong remoteAddress, nint key)
    {
        byte* parameters = stackalloc byte[UcxStructures.RequestBytes];
        *(uint*)(parameters + UcxStructures.RequestMask) = 0;
        return PutBytes(_handle, source, (nuint)lengthBytes, remoteAddress, key, parameters);
    }

    /// <summary>Done when all that began before is where it was to go.</summary>
    internal nint Flush()
    {
        byte* parameters = stackalloc byte[UcxStructures.RequestBytes];
        *(uint*)(parameters + UcxStructures.RequestMask) = 0;
        return FlushEndpoint(_handle, parameters);
    }

    /// <summary>Closes without asking the peer; every request ends.</summary>
    internal nint Close()
    {
        byte* parameters = stackalloc byte[UcxStructures.RequestBytes];
        *(uint*)(parameters + UcxStructures.RequestMask) = UcxStructures.RequestFlagsField;
        *(uint*)(parameters + UcxStructures.RequestFlags) = UcxStructures.ForcedClose;
        return CloseEndpoint(_handle, parameters);
    }

    /// <summary>A peer's key, for use with this endpoint; UCX takes no length with it, so <paramref name="packed"/> has zeros behind the key.</summary>
    internal int TryUnpack(ReadOnlySpan<byte> packed, out nint key)
    {
        nint unpacked = 0;
        int status;
        fixed (byte* bytes = packed) status = UnpackKey(_handle, bytes, &unpacked);
        key = unpacked;
        return status;
    }

    /// <summary>What UCX prints about the endpoint; empty when the system has no memory for it.</summary>
    internal string Describe()
    {
        byte* text = null;
        nuint length = 0;
        nint stream = UcxLibrary.OpenMemoryStream(&text, &length);
        if (stream == 0) return "";
        PrintInfo(_handle, stream);
        _ = UcxLibrary.CloseStream(stream);
        string described = Encoding.UTF8.GetString(text, (int)length);
        NativeMemory.Free(text);
        return described;
    }

    internal static void Destroy(nint key) => DestroyKey(key);

    /// <summary>Frees a request that is done: true, with how it ended. A request of 0 is done.</summary>
    internal static bool TryFinish(ref nint request, out int status)
    {
        status = UcxStructures.Ok;
        if (request == 0) return true;
        status = RequestStatus(request);
        if (status == UcxStructures.InProgress) return false;
        RequestFree(request);
        request = 0;
        return true;
    }
}
