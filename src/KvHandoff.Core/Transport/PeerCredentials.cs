using System.Collections.Immutable;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>The process at the other end of a Unix socket, as the kernel noted it when that end connected or began to listen (Linux).</summary>
/// <param name="ProcessId">Its process.</param>
/// <param name="UserId">The effective user id of that process at that time.</param>
internal readonly partial record struct PeerCredentials(int ProcessId, uint UserId)
{
    private const int SocketLevel = 1, PeerCredentialsOption = 17, UcredBytes = 12;

    /// <summary>The effective user id of this process.</summary>
    public static uint OwnUserId => GetEffectiveUserId();

    /// <exception cref="SocketException">The socket is not connected.</exception>
    public static PeerCredentials Of(Socket socket)
    {
        // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
        Span<byte> ucred = stackalloc byte[UcredBytes];
        socket.GetRawSocketOption(SocketLevel, PeerCredentialsOption, ucred);
        return new PeerCredentials(MemoryMarshal.Read<int>(ucred), MemoryMarshal.Read<uint>(ucred[4..]));
    }

    /// <summary>Null when <paramref name="allowed"/> (empty: this process's own user) lets the process in, else why it does not.</summary>
    public string? Refusal(ImmutableArray<uint> allowed)
    {
        uint own = OwnUserId;
        if (allowed.IsDefaultOrEmpty ? UserId == own : allowed.Contains(UserId)) return null;
        return $"process {ProcessId} belongs to user {UserId}; allowed: {(allowed.IsDefaultOrEmpty ? own : string.Join(", ", allowed))}";
    }

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUserId();
}
