using System.Runtime.InteropServices;

namespace KvHandoff.Memory;

/// <summary>Sleeping on a 32-bit word of shared memory until somebody, in this process or another one, says that it changed (Linux).</summary>
internal static unsafe partial class FutexWord
{
    private const int WaitOperation = 0, WakeOperation = 1;

    private static readonly nint FutexCall = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.Arm64 or Architecture.LoongArch64 or Architecture.RiscV64 => 98,
        _ => 0,
    };

    /// <summary>This process's architecture has a known call number, and its own indices of 64 bits are written in one piece.</summary>
    internal static bool IsSupported => OperatingSystem.IsLinux() && FutexCall != 0;

    /// <summary>Sleeps while <paramref name="word"/> holds <paramref name="expected"/>, at most for the timeout; returns early whenever it likes.</summary>
    internal static void Wait(uint* word, uint expected, int timeoutMilliseconds)
    {
        TimeSpec timeout = new() { Seconds = timeoutMilliseconds / 1000, Nanoseconds = timeoutMilliseconds % 1000 * 1_000_000 };
        // Not the private form, which knows a word by its address in one process.
        _ = SystemCall(FutexCall, word, WaitOperation, (nint)expected, &timeout, null, 0);
    }

    /// <summary>Changes the word and wakes every sleeper.</summary>
    internal static void Wake(uint* word)
    {
        Interlocked.Increment(ref *word);
        _ = SystemCall(FutexCall, word, WakeOperation, int.MaxValue, null, null, 0);
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public nint Seconds, Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint SystemCall(nint number, uint* word, nint operation, nint value, TimeSpec* timeout, uint* secondWord, nint thirdValue);
}
