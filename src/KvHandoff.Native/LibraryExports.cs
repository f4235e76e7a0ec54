using System.Runtime.InteropServices;
using KvHandoff.Attention;
using KvHandoff.Numerics;

namespace KvHandoff.Native;

/// <summary>Version, failures, closing and the end.</summary>
static unsafe class LibraryExports
{
    const int AbiVersion = 1;

    [UnmanagedCallersOnly(EntryPoint = "kvh_abi_version")]
    static int Version() => AbiVersion;

    [UnmanagedCallersOnly(EntryPoint = "kvh_version")]
    static int Version(byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            return Texts.Write($"{typeof(LibraryExports).Assembly.GetName().Version?.ToString(3)}, {InstructionSet.Name}, {AttentionKernels.InUse}", buffer, capacity, needed);
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_status_name")]
    static byte* StatusName(int status) => (byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetReference(Status.Name(status)));

    [UnmanagedCallersOnly(EntryPoint = "kvh_last_error")]
    static int LastError(ulong handle, byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            return Texts.Write(Last(handle)?.Text ?? "", buffer, capacity, needed);
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_last_error_info")]
    static int LastErrorInfo(ulong handle, KvhErrorInfo* info)
    {
        try
        {
            FailureInfo? last = Last(handle);
            HostStructs.Write(info, last is null ? default : new KvhErrorInfo
            {
                Status = last.Status,
                RejectReason = last.RejectReason,
                BytesNeeded = last.BytesNeeded,
                BytesFree = last.BytesFree,
                RetryAfterMs = last.RetryAfterMs,
            });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_close")]
    static int Close(ulong handle)
    {
        try
        {
            if (!LibraryState.IsStopped) LibraryState.Require();
            return HandleTable.Close(handle);
        }
        catch (Exception e)
        {
            return Failure.Report(handle, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_open_handles")]
    static long OpenHandles() => HandleTable.Open;

    [UnmanagedCallersOnly(EntryPoint = "kvh_shutdown")]
    static int Shutdown()
    {
        try
        {
            CallbackScope.RequireOutside();
            if (LibraryState.IsStopped) return Status.Ok;
            LibraryState.Require();
            LibraryState.Stop();
            // What depends on others goes first: round after round until nothing is left.
            for (int before = int.MaxValue; HandleTable.Open is var open and > 0 && open < before; before = open)
            {
                foreach (NativeObject target in HandleTable.Snapshot())
                {
                    try
                    {
                        HandleTable.Close(target.Handle);
                    }
                    catch (StatusException)
                    {
                    }
                }
            }

            return HandleTable.Open == 0 ? Status.Ok : throw new StatusException(Status.InUse, $"{HandleTable.Open} handles are still in use by other threads.");
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    static FailureInfo? Last(ulong handle) => handle == 0 ? Failure.OfThread
        : HandleTable.Find(handle) is { } target ? target.LastFailure
        : throw new StatusException(Status.Handle, $"Handle {handle:x16} is not open.");
}
