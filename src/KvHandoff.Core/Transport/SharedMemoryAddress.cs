using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>Paths and abstract names of bootstrap sockets: who may reach one, and what becomes of a path whose listener died.</summary>
internal static partial class SharedMemoryAddress
{
    private const int CurrentDirectory = -100, NoFollow = 0x100;
    private const uint WantTypeAndUser = 1 | 8;
    private const int FileType = 0xF000, SocketFile = 0xC000;

    /// <summary>Binds and listens; a socket file of this user that nobody listens at any more is replaced.</summary>
    internal static Socket Bind(TransportEndpoint endpoint, TransportOptions options, int backlog)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            try
            {
                socket.Bind(EndPointOf(endpoint));
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse && IsStale(endpoint))
            {
                File.Delete(endpoint.Host);
                socket.Bind(EndPointOf(endpoint));
            }

            // Before listen: nobody can connect before the mode is right.
            if (endpoint.Host[0] == '/') File.SetUnixFileMode(endpoint.Host, ModeFor(options));
            socket.Listen(backlog);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Connects without blocking a thread; a full queue of the listener is tried again.</summary>
    internal static async Task<Socket> ConnectAsync(TransportEndpoint endpoint, CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { Blocking = false };
            try
            {
                socket.Connect(EndPointOf(endpoint));
                return socket;
            }
            catch (SocketException e)
            {
                socket.Dispose();
                if (e.SocketErrorCode != SocketError.WouldBlock) throw;
                await Task.Delay(5, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    internal static UnixDomainSocketEndPoint EndPointOf(TransportEndpoint endpoint) =>
        new(endpoint.Host[0] == '@' ? "\0" + endpoint.Host[1..] : endpoint.Host);

    private static UnixFileMode ModeFor(TransportOptions options)
    {
        const UnixFileMode Own = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        const UnixFileMode Everyone = Own | UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;
        foreach (uint user in SharedMemoryTransport.Allowed(options))
            // The file cannot name single users: their credentials are checked after the connect, and everybody else's.
            if (user != SharedMemorySocket.OwnUserId) return Everyone;
        return Own;
    }

    private static bool IsStale(TransportEndpoint endpoint)
    {
        if (endpoint.Host[0] != '/' || !IsOwnSocketFile(endpoint.Host)) return false;
        using Socket probe = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { Blocking = false };
        try
        {
            probe.Connect(EndPointOf(endpoint));
            return false;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode == SocketError.ConnectionRefused;
        }
    }

    private static unsafe bool IsOwnSocketFile(string path)
    {
        FileStatus status;
        return GetStatus(CurrentDirectory, path, NoFollow, WantTypeAndUser, &status) == 0
            && (status.Mode & FileType) == SocketFile && status.UserId == SharedMemorySocket.OwnUserId;
    }

    // struct statx: the same on every architecture.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct FileStatus
    {
        [FieldOffset(20)] public uint UserId;
        [FieldOffset(28)] public ushort Mode;
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int GetStatus(int directory, string path, int flags, uint mask, FileStatus* status);
}
