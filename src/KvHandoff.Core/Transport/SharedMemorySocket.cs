using System.Net.Sockets;
using System.Runtime.InteropServices;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>Who is at the other end of a Unix socket, as the kernel noted it when the two were connected.</summary>
internal readonly record struct SharedMemoryPeerCredentials(int ProcessId, uint UserId);

/// <summary>What the bootstrap of shared memory needs of a Unix socket beyond <see cref="Socket"/>: descriptors, credentials, doorbells.</summary>
internal static unsafe partial class SharedMemorySocket
{
    private const int SocketLevel = 1, PassDescriptors = 1, PeerCredentials = 17, PeerProcessDescriptor = 77;
    private const int NoSignal = 0x4000, DontWait = 0x40, CloseOnExec = 0x40000000, ControlTruncated = 8;
    private const int WouldBlock = 11, Interrupted = 4;
    private const nint OpenProcessDescriptorCall = 434;

    // struct cmsghdr: the length as a machine word, then level and type.
    private static readonly int ControlHeaderBytes = IntPtr.Size + 8;

    /// <summary>The user id that the kernel checks this process by, and that peers see.</summary>
    internal static uint OwnUserId => EffectiveUserId();

    internal static SharedMemoryPeerCredentials Peer(Socket socket)
    {
        Span<byte> credentials = stackalloc byte[12];
        socket.GetRawSocketOption(SocketLevel, PeerCredentials, credentials);
        return new(MemoryMarshal.Read<int>(credentials), MemoryMarshal.Read<uint>(credentials[4..]));
    }

    /// <summary>A descriptor that becomes readable when the peer's process has ended, or -1 where the kernel gives none.</summary>
    internal static int OpenPeerProcess(Socket socket, int processId)
    {
        try
        {
            // Names the process that connected even if its number has been given away since.
            Span<byte> descriptor = stackalloc byte[4];
            socket.GetRawSocketOption(SocketLevel, PeerProcessDescriptor, descriptor);
            return MemoryMarshal.Read<int>(descriptor);
        }
        catch (SocketException)
        {
            return processId > 0 ? (int)OpenProcess(OpenProcessDescriptorCall, processId, 0) : -1;
        }
    }

    internal static void CloseDescriptor(int fd)
    {
        if (fd >= 0) _ = LinuxMemory.Close(fd);
    }

    /// <summary>Bytes of the file behind a descriptor, or -1.</summary>
    internal static long LengthOf(int fd) => LinuxMemory.Seek(fd, 0, 2);

    /// <summary>Wakes a peer that waits by its event loop; a full socket holds bells enough.</summary>
    internal static void RingBell(int fd)
    {
        byte bell = 1;
        _ = Send(fd, &bell, 1, NoSignal | DontWait);
    }

    /// <summary>Takes bells off the socket: how many, 0 at the peer's end of the stream or any failure, -1 when there was none.</summary>
    internal static int TakeBells(int fd)
    {
        const int Most = 512;
        byte* bells = stackalloc byte[Most];
        nint count = Receive(fd, bells, Most, DontWait);
        if (count >= 0) return (int)count;
        return Marshal.GetLastPInvokeError() is WouldBlock or Interrupted ? -1 : 0;
    }

    /// <summary>Sends a short message with descriptors, at once; false, with the reason, when the kernel does not take all of it.</summary>
    internal static bool TrySend(int fd, ReadOnlySpan<byte> message, ReadOnlySpan<int> descriptors, out string? error)
    {
        int controlBytes = ControlHeaderBytes + (descriptors.Length * sizeof(int) + 7 & ~7);
        byte* control = stackalloc byte[controlBytes];
        new Span<byte>(control, controlBytes).Clear();
        *(nint*)control = ControlHeaderBytes + descriptors.Length * sizeof(int);
        *(int*)(control + IntPtr.Size) = SocketLevel;
        *(int*)(control + IntPtr.Size + 4) = PassDescriptors;
        descriptors.CopyTo(new Span<int>(control + ControlHeaderBytes, descriptors.Length));
        fixed (byte* bytes = message)
        {
            IoRange range = new((nint)bytes, message.Length);
            MessageHeader header = new() { Ranges = &range, RangeCount = 1 };
            if (!descriptors.IsEmpty) (header.Control, header.ControlLength) = ((nint)control, (nuint)controlBytes);
            nint sent = SendMessage(fd, &header, NoSignal | DontWait);
            error = sent == message.Length ? null
                : sent < 0 ? Marshal.GetLastPInvokeErrorMessage() : $"{sent} of {message.Length} bytes of the handshake were taken";
        }
        return error is null;
    }

    /// <summary>
    /// Receives once. Every descriptor that came along is added to <paramref name="descriptors"/>, whose owner closes them, also when there were
    /// more than expected.
    /// </summary>
    /// <returns>Bytes received, 0 at the end of the stream, -1 when it would block, -2 on a failure.</returns>
    internal static int TryReceive(int fd, Span<byte> destination, List<int> descriptors, out string? error)
    {
        // The kernel passes at most 253 descriptors with one message; all have to be seen, or those that were not could not be closed.
        const int MostDescriptors = 253;
        int controlBytes = ControlHeaderBytes + MostDescriptors * sizeof(int) + 64;
        byte* control = stackalloc byte[controlBytes];
        fixed (byte* bytes = destination)
        {
            IoRange range = new((nint)bytes, destination.Length);
            MessageHeader header = new() { Ranges = &range, RangeCount = 1, Control = (nint)control, ControlLength = (nuint)controlBytes };
            nint count = ReceiveMessage(fd, &header, DontWait | CloseOnExec);
            error = null;
            if (count < 0)
            {
                int code = Marshal.GetLastPInvokeError();
                if (code is WouldBlock or Interrupted) return -1;
                error = Marshal.GetLastPInvokeErrorMessage();
                return -2;
            }

            TakeDescriptors(control, (int)header.ControlLength, descriptors);
            if ((header.Flags & ControlTruncated) == 0) return (int)count;
            error = "more descriptors came than the kernel could deliver";
            return -2;
        }
    }

    private static void TakeDescriptors(byte* control, int length, List<int> descriptors)
    {
        for (int at = 0; at + ControlHeaderBytes <= length;)
        {
            nint part = *(nint*)(control + at);
            if (part < ControlHeaderBytes || part > length - at) return;
            if (*(int*)(control + at + IntPtr.Size) == SocketLevel && *(int*)(control + at + IntPtr.Size + 4) == PassDescriptors)
                descriptors.AddRange(new ReadOnlySpan<int>(control + at + ControlHeaderBytes, (int)(part - ControlHeaderBytes) / sizeof(int)));
            at += (int)(part + IntPtr.Size - 1) & -IntPtr.Size;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public nint Name;
        public uint NameLength;
        public IoRange* Ranges;
        public nuint RangeCount;
        public nint Control;
        public nuint ControlLength;
        public int Flags;
    }

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint EffectiveUserId();

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint OpenProcess(nint number, nint processId, nint flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(int fd, byte* bytes, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(int fd, byte* destination, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(int fd, MessageHeader* message, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    private static partial nint ReceiveMessage(int fd, MessageHeader* message, int flags);
}
