namespace KvHandoff.Native;

/// <summary><c>kvh_status</c>: below zero failed, in groups of what has to be rebuilt (the call, the handoff, the connection, nothing helps).</summary>
static class Status
{
    internal const int Ok = 0, Pending = 1, Timeout = 2, End = 3;

    internal const int Argument = -1, Null = -2, Handle = -3, StructSize = -4, Enum = -5, State = -6, Buffer = -7, InUse = -8, Callback = -9,
        NoSpace = -10, NoMemory = -11, Unsupported = -12, Layout = -13, ShutDown = -14, Forked = -15, Internal = -16;

    internal const int Rejected = -100, Aborted = -101, Expired = -102, Corrupt = -103, StaleEpoch = -104;

    internal const int PeerGone = -200, Transport = -201;

    internal const int Mismatch = -300, Protocol = -301;

    /// <summary>Names with their terminators: they lie in the library's constant data.</summary>
    internal static ReadOnlySpan<byte> Name(int status) => status switch
    {
        Ok => "KVH_OK\0"u8,
        Pending => "KVH_PENDING\0"u8,
        Timeout => "KVH_TIMEOUT\0"u8,
        End => "KVH_END\0"u8,
        Argument => "KVH_E_ARGUMENT\0"u8,
        Null => "KVH_E_NULL\0"u8,
        Handle => "KVH_E_HANDLE\0"u8,
        StructSize => "KVH_E_STRUCT_SIZE\0"u8,
        Enum => "KVH_E_ENUM\0"u8,
        State => "KVH_E_STATE\0"u8,
        Buffer => "KVH_E_BUFFER\0"u8,
        InUse => "KVH_E_IN_USE\0"u8,
        Callback => "KVH_E_CALLBACK\0"u8,
        NoSpace => "KVH_E_NO_SPACE\0"u8,
        NoMemory => "KVH_E_NO_MEMORY\0"u8,
        Unsupported => "KVH_E_UNSUPPORTED\0"u8,
        Layout => "KVH_E_LAYOUT\0"u8,
        ShutDown => "KVH_E_SHUT_DOWN\0"u8,
        Forked => "KVH_E_FORKED\0"u8,
        Internal => "KVH_E_INTERNAL\0"u8,
        Rejected => "KVH_E_REJECTED\0"u8,
        Aborted => "KVH_E_ABORTED\0"u8,
        Expired => "KVH_E_EXPIRED\0"u8,
        Corrupt => "KVH_E_CORRUPT\0"u8,
        StaleEpoch => "KVH_E_STALE_EPOCH\0"u8,
        PeerGone => "KVH_E_PEER_GONE\0"u8,
        Transport => "KVH_E_TRANSPORT\0"u8,
        Mismatch => "KVH_E_MISMATCH\0"u8,
        Protocol => "KVH_E_PROTOCOL\0"u8,
        _ => "unknown\0"u8,
    };
}

/// <summary>Leaves an export with a status and a text.</summary>
sealed class StatusException(int status, string message) : Exception(message)
{
    internal int Status { get; } = status;
}
