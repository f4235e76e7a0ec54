using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvHandoff.Native;

/// <summary>Whether the library can be used: not after kvh_shutdown, and not in a child of fork(), where its threads are missing.</summary>
static unsafe partial class LibraryState
{
    const int Usable = 1, Stopped = 2;
    const int ProtectReadWrite = 3, MapPrivateAnonymous = 0x22, WipeOnFork = 18, PageBytes = 4096;

    // The system hands a child this page with zeros in it.
    static readonly int* s_word = CreateWord();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Require()
    {
        if (*s_word != Usable) Throw();
    }

    internal static bool IsStopped => *s_word == Stopped;

    internal static void Stop() => *s_word = Stopped;

    /// <summary>OpenSSL is loaded when it is first needed, and its loader aborts the process without it: better to look first.</summary>
    internal static void RequireOpenSsl()
    {
        if (!HasOpenSsl.Value) throw new StatusException(Status.Unsupported, "Receivers, tickets and TLS need OpenSSL: libssl.so.3, libssl.so.1.1 or libssl.so.1.0.2 was not found.");
    }

    static readonly Lazy<bool> HasOpenSsl = new(() =>
    {
        foreach (string name in (string[])["libssl.so.3", "libssl.so.1.1", "libssl.so.1.0.2"])
        {
            if (NativeLibrary.TryLoad(name, out _)) return true;
        }

        return false;
    });

    static void Throw() => throw (*s_word == Stopped
        ? new StatusException(Status.ShutDown, "kvh_shutdown was called.")
        : new StatusException(Status.Forked, "This process is a child of fork(); the library's threads are in the parent."));

    static int* CreateWord()
    {
        void* page = Map(null, PageBytes, ProtectReadWrite, MapPrivateAnonymous, -1, 0);
        // Without the page, or on a kernel before 4.14, a child is not told; the library works all the same.
        if ((nint)page == -1) page = NativeMemory.AllocZeroed(sizeof(int));
        else Advise(page, PageBytes, WipeOnFork);
        *(int*)page = Usable;
        return (int*)page;
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Map(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);
}
