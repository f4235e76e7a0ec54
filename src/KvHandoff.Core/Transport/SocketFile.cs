using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>The file that a listening Unix socket has in the file system (Linux).</summary>
internal static unsafe partial class SocketFile
{
    private const int CurrentFolder = -100, NoFollow = 0x100;
    private const uint WantTypeAndInode = 0x1 | 0x100;
    private const int StatxBytes = 256, ModeAt = 28, InodeAt = 32, DeviceAt = 136;
    private const int TypeMask = 0xF000, SocketType = 0xC000, OwnerReadWrite = 0x180;

    /// <summary>What lies at <paramref name="path"/>, itself and not what it points to; null when there is nothing or it cannot be seen.</summary>
    public static Identity? Find(string path)
    {
        // struct statx has one layout on every architecture; struct stat has not.
        byte* found = stackalloc byte[StatxBytes];
        if (Statx(CurrentFolder, path, NoFollow, WantTypeAndInode, found) != 0) return null;
        bool isSocket = (*(ushort*)(found + ModeAt) & TypeMask) == SocketType;
        return new Identity(isSocket, *(ulong*)(found + InodeAt), *(ulong*)(found + DeviceAt));
    }

    /// <summary>Makes the file that a later bind creates readable and writable by its owner alone, with no moment in between.</summary>
    public static void RestrictToOwner(Socket unbound)
    {
        if (ChangeMode((int)unbound.SafeHandle.DangerousGetHandle(), OwnerReadWrite) != 0)
            throw new SocketException((int)SocketError.AccessDenied, Marshal.GetLastPInvokeErrorMessage());
    }

    /// <summary>Removes the file if it is still <paramref name="identity"/>.</summary>
    public static void Remove(string path, Identity identity)
    {
        if (Find(path) == identity) _ = Unlink(path);
    }

    /// <summary>Which file it is: another one at the same path differs.</summary>
    public readonly record struct Identity(bool IsSocket, ulong Inode, ulong Device);

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int folder, string path, int flags, uint mask, byte* result);

    [LibraryImport("libc", EntryPoint = "fchmod", SetLastError = true)]
    private static partial int ChangeMode(int fd, uint mode);

    [LibraryImport("libc", EntryPoint = "unlink", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Unlink(string path);
}

/// <summary>
/// A path or abstract name to bind to. The runtime's own type deletes whatever lies at the path when the socket closes, be it another
/// listener's by then.
/// </summary>
internal sealed class SocketFileEndPoint(string name) : EndPoint
{
    private readonly UnixDomainSocketEndPoint _address = new(name[0] == '@' ? "\0" + name[1..] : name);

    public override AddressFamily AddressFamily => AddressFamily.Unix;

    public override EndPoint Create(SocketAddress socketAddress) => _address.Create(socketAddress);

    public override SocketAddress Serialize() => _address.Serialize();

    public override string ToString() => name;
}
