using System.Runtime.InteropServices;

namespace KvHandoff.Native;

enum LogLevel
{
    Off,
    Error,
    Warning,
    Info,
    Debug,
}

/// <summary>What the library tells the host's log. One callback for the process; calls come one at a time.</summary>
static unsafe class Log
{
    static readonly Lock s_gate = new();
    static volatile int s_level;
    static delegate* unmanaged[Cdecl]<void*, int, ulong, byte*, void> s_callback;
    static void* s_user;

    internal static bool IsEnabled(LogLevel level) => s_level >= (int)level;

    internal static void Write(LogLevel level, ulong handle, string text)
    {
        if (!IsEnabled(level)) return;
        byte* copy = Texts.Copy(text);
        try
        {
            // A callback that logs by what it calls would come back here.
            if (CallbackScope.IsInside && s_gate.IsHeldByCurrentThread) return;
            lock (s_gate)
            {
                if (s_callback == null) return;
                CallbackScope.Enter();
                try
                {
                    s_callback(s_user, (int)level, handle, copy);
                }
                finally
                {
                    CallbackScope.Leave();
                }
            }
        }
        finally
        {
            NativeMemory.Free(copy);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_set_log_callback")]
    static int Set(int level, delegate* unmanaged[Cdecl]<void*, int, ulong, byte*, void> callback, void* user)
    {
        try
        {
            HostStructs.RequireEnum(level, (int)LogLevel.Off, (int)LogLevel.Debug, "level");
            lock (s_gate)
            {
                s_callback = callback;
                s_user = user;
                s_level = callback == null ? 0 : level;
            }

            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }
}
