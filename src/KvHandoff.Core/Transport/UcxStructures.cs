namespace KvHandoff.Transport;

/// <summary>
/// Sizes, offsets and bits of UCX's structures on 64-bit systems, from ucp/api/ucp.h and ucp_def.h of 1.13. Each structure begins with a mask of the fields that
/// are meant, so newer versions only add behind them.
/// </summary>
internal static class UcxStructures
{
    // ucp_params_t
    internal const int ContextBytes = 80, ContextFeatures = 8, ContextName = 72;
    internal const ulong ContextFeaturesField = 1, RmaFeature = 2, WakeupFeature = 16, MessagesFeature = 64;

    // ucp_worker_params_t
    internal const int WorkerBytes = 200, WorkerThreadMode = 8;
    internal const ulong WorkerThreadModeField = 1;
    internal const int SerializedThreads = 1;

    // ucp_ep_params_t
    internal const int EndpointBytes = 104, EndpointAddress = 8, EndpointErrorMode = 16, EndpointErrorHandler = 24, EndpointErrorArgument = 32;
    internal const ulong EndpointAddressField = 1, EndpointErrorModeField = 2, EndpointErrorHandlerField = 4;
    internal const int PeerErrors = 1;

    // ucp_request_param_t
    internal const int RequestBytes = 72, RequestMask = 0, RequestFlags = 4, RequestDatatype = 24;
    internal const uint RequestDatatypeField = 8, RequestFlagsField = 0x10;
    internal const uint EagerMessage = 2, ForcedClose = 1;

    // ucp_dt_iov_t, ucp_dt_type
    internal const int PieceBytes = 16, PieceLength = 8;
    internal const long PiecesDatatype = 2;

    // ucp_mem_map_params_t
    internal const int MemoryBytes = 40, MemoryAddress = 8, MemoryLength = 16;
    internal const ulong MemoryAddressField = 1, MemoryLengthField = 2;

    // ucp_am_handler_param_t, ucp_am_recv_param_t
    internal const int HandlerBytes = 32, HandlerId = 8, HandlerFlags = 12, HandlerCallback = 16, HandlerArgument = 24;
    internal const ulong HandlerIdField = 1, HandlerFlagsField = 2, HandlerCallbackField = 4, HandlerArgumentField = 8;
    internal const uint WholeMessage = 1;
    internal const ulong RendezvousMessage = 1 << 17;

    // ucs_status_t
    internal const int Ok = 0, InProgress = 1, Busy = -15, NoDevice = -14, Unreachable = -6, InvalidAddress = -7, TimedOut = -20, EndpointTimeout = -80, Rejected = -23,
        NotConnected = -24, ConnectionReset = -25, Canceled = -16, LastError = -100;

    /// <summary>Whether what an operation returned is a failure, and which.</summary>
    internal static bool IsError(nint returned, out int status)
    {
        status = (int)returned;
        return (nuint)returned >= unchecked((nuint)LastError);
    }
}
