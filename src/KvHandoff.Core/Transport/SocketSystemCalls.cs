using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>
/// Blocking transfers on a connected stream socket: Linux system calls on the descriptor, and the runtime's socket elsewhere.
/// Each makes one attempt and returns the bytes moved, or -1 and the reason.
/// </summary>
internal static unsafe partial class SocketSystemCalls
{
    /// <summary>Most ranges that one call of the kernel takes (IOV_MAX).</summary>
    internal const int MaxRanges = 1024;

    internal const short PollIn = 1, PollOut = 4;

    private const int MessageWaitAll = 0x100, MessageNoSignal = 0x4000, MessageDontWait = 0x40;
    private const int Interrupted = 4;
    private const string Libc = "libc";

    internal static nint Receive(Socket socket, int fd, Span<byte> destination, out SocketError error)
    {
        error = SocketError.Success;
        if (!OperatingSystem.IsLinux()) return Managed(socket.Receive(destination, SocketFlags.None, out error), error);
        fixed (byte* first = destination)
        {
            nint count;
            do count = Receive(fd, first, (nuint)destination.Length, MessageWaitAll);
            while (count < 0 && IsInterrupted(out error));
            return count;
        }
    }

    internal static nint Send(Socket socket, int fd, ReadOnlySpan<byte> bytes, out SocketError error)
    {
        error = SocketError.Success;
        if (!OperatingSystem.IsLinux()) return Managed(socket.Send(bytes, SocketFlags.None, out error), error);
        fixed (byte* first = bytes)
        {
            nint count;
            do count = Send(fd, first, (nuint)bytes.Length, MessageNoSignal);
            while (count < 0 && IsInterrupted(out error));
            return count;
        }
    }

    /// <summary>Receives into the first <see cref="MaxRanges"/> of <paramref name="ranges"/>; the first must not be empty.</summary>
    internal static nint Receive(Socket socket, int fd, ReadOnlySpan<IoRange> ranges, out SocketError error)
    {
        error = SocketError.Success;
        if (!OperatingSystem.IsLinux()) return Receive(socket, fd, AsSpan(ranges[0]), out error);
        fixed (IoRange* first = ranges)
        {
            MessageHeader message = new() { Ranges = first, RangeCount = (nuint)Math.Min(ranges.Length, MaxRanges) };
            nint count;
            do count = ReceiveMessage(fd, &message, MessageWaitAll);
            while (count < 0 && IsInterrupted(out error));
            return count;
        }
    }

    /// <summary>
    /// Sends from the first <see cref="MaxRanges"/> of <paramref name="ranges"/>; the first must not be empty. Without <paramref name="wait"/>
    /// it sends what there is room for, or fails with WouldBlock.
    /// </summary>
    internal static nint Send(Socket socket, int fd, ReadOnlySpan<IoRange> ranges, bool wait, out SocketError error)
    {
        error = SocketError.Success;
        if (!OperatingSystem.IsLinux()) return Send(socket, fd, AsSpan(ranges[0]), out error);
        fixed (IoRange* first = ranges)
        {
            MessageHeader message = new() { Ranges = first, RangeCount = (nuint)Math.Min(ranges.Length, MaxRanges) };
            nint count;
            do count = SendMessage(fd, &message, wait ? MessageNoSignal : MessageNoSignal | MessageDontWait);
            while (count < 0 && IsInterrupted(out error));
            return count;
        }
    }

    /// <summary>Blocks until something is there and receives it, be it less than the whole of <paramref name="destination"/>.</summary>
    internal static nint ReceiveSome(Socket socket, int fd, Span<byte> destination, out SocketError error)
    {
        error = SocketError.Success;
        if (!OperatingSystem.IsLinux()) return Managed(socket.Receive(destination, SocketFlags.None, out error), error);
        fixed (byte* first = destination)
        {
            nint count;
            do count = Receive(fd, first, (nuint)destination.Length, 0);
            while (count < 0 && IsInterrupted(out error));
            return count;
        }
    }

    /// <summary>Receives what is there, or fails with WouldBlock (Linux).</summary>
    internal static nint TryReceive(int fd, Span<byte> destination, out SocketError error)
    {
        error = SocketError.Success;
        fixed (byte* first = destination)
        {
            nint count;
            do count = Receive(fd, first, (nuint)destination.Length, MessageDontWait);
            while (count < 0 && IsInterrupted(out error));
            return count;
        }
    }

    /// <summary>Sends what there is room for, or fails with WouldBlock (Linux).</summary>
    internal static nint TrySend(int fd, ReadOnlySpan<byte> bytes, out SocketError error)
    {
        error = SocketError.Success;
        fixed (byte* first = bytes)
        {
            nint count;
            do count = Send(fd, first, (nuint)bytes.Length, MessageNoSignal | MessageDontWait);
            while (count < 0 && IsInterrupted(out error));
            return count;
        }
    }

    /// <summary>Blocks until the descriptor is ready for <paramref name="events"/>, or has an error or an end to report.</summary>
    internal static void WaitReady(int fd, short events)
    {
        PollEntry entry = new() { Descriptor = fd, Events = events };
        _ = Poll(&entry, 1, -1);
    }

    /// <summary>Whether the descriptor is ready for <paramref name="events"/> now, or has an error or an end to report (Linux).</summary>
    internal static bool IsReady(int fd, short events)
    {
        PollEntry entry = new() { Descriptor = fd, Events = events };
        return Poll(&entry, 1, 0) > 0;
    }

    /// <summary>The memory of <paramref name="range"/>, or its first 2 GiB.</summary>
    internal static Span<byte> AsSpan(IoRange range) => new((void*)range.Address, (int)Math.Min(range.LengthBytes, int.MaxValue));

    private static nint Managed(int count, SocketError error) => error == SocketError.Success ? count : -1;

    private static bool IsInterrupted(out SocketError error)
    {
        int code = Marshal.GetLastPInvokeError();
        error = ToSocketError(code);
        return code == Interrupted;
    }

    private static SocketError ToSocketError(int code) => code switch
    {
        11 => SocketError.WouldBlock,
        12 or 105 => SocketError.NoBufferSpaceAvailable,
        14 => SocketError.Fault,
        22 => SocketError.InvalidArgument,
        32 => SocketError.Shutdown,
        100 => SocketError.NetworkDown,
        101 => SocketError.NetworkUnreachable,
        103 => SocketError.ConnectionAborted,
        104 => SocketError.ConnectionReset,
        107 => SocketError.NotConnected,
        110 => SocketError.TimedOut,
        113 => SocketError.HostUnreachable,
        _ => SocketError.SocketError,
    };

    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public IoRange* Ranges;
        public nuint RangeCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [LibraryImport(Libc, EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(int fd, byte* destination, nuint length, int flags);

    [LibraryImport(Libc, EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(int fd, byte* bytes, nuint length, int flags);

    [LibraryImport(Libc, EntryPoint = "recvmsg", SetLastError = true)]
    private static partial nint ReceiveMessage(int fd, MessageHeader* message, int flags);

    [LibraryImport(Libc, EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(int fd, MessageHeader* message, int flags);

    [LibraryImport(Libc, EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(PollEntry* entries, nuint count, int timeoutMilliseconds);
}
