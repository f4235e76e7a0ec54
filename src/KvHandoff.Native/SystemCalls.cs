using System.Runtime.InteropServices;

namespace KvHandoff.Native;

/// <summary>The few calls of the system that events need.</summary>
static unsafe partial class SystemCalls
{
    const int DuplicateCloseOnExec = 1030;

    /// <summary>A descriptor of the same file, or -1.</summary>
    internal static int Duplicate(int descriptor) => Control(descriptor, DuplicateCloseOnExec, 0);

    /// <summary>Adds 1 to an eventfd. A full counter is as good as one more: the host has not looked yet.</summary>
    internal static void Signal(int descriptor)
    {
        long one = 1;
        _ = Write(descriptor, &one, sizeof(long));
    }

    [LibraryImport("libc", EntryPoint = "close")]
    internal static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int descriptor, int command, int argument);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(int descriptor, void* data, nuint bytes);
}
