using System.Runtime.InteropServices;

namespace KvHandoff.Native;

/// <summary>Polling, waiting, callbacks and eventfds.</summary>
static unsafe class EventExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_poll")]
    static int Poll(ulong handle, uint* events)
    {
        try
        {
            HostStructs.RequireNotNull(events);
            using Pin<NativeSource> pin = HandleTable.Use<NativeSource>(handle);
            *events = (uint)pin.Target.Events.Happened;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(handle, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_wait")]
    static int Wait(ulong handle, uint mask, long timeoutMs, uint* events)
    {
        try
        {
            using Pin<NativeSource> pin = HandleTable.Use<NativeSource>(handle);
            HandleEvents wanted = MaskOf(mask);
            if (timeoutMs != 0) CallbackScope.RequireOutside();
            EventState state = pin.Target.Events;
            bool came = state.Wait(wanted | HandleEvents.Failed, timeoutMs);
            HandleEvents happened = state.Happened;
            if (events != null) *events = (uint)happened;
            if (!came) return Status.Timeout;
            // A commit that could not be begun leaves the handoff open, so the failure is the one that ended it.
            return (happened & wanted) != 0 ? Status.Ok : Failure.Report(pin.Target.Ended ?? new FailureInfo(Status.Aborted, "The handoff ended."));
        }
        catch (Exception e)
        {
            return Failure.Report(handle, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_on_event")]
    static int OnEvent(ulong handle, uint mask, delegate* unmanaged[Cdecl]<void*, ulong, uint, void> callback, void* user)
    {
        try
        {
            using Pin<NativeSource> pin = HandleTable.Use<NativeSource>(handle);
            pin.Target.Events.SetCallback(handle, callback == null ? HandleEvents.None : MaskOf(mask), callback, user);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(handle, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_set_eventfd")]
    static int SetEventfd(ulong handle, uint mask, int descriptor)
    {
        try
        {
            using Pin<NativeSource> pin = HandleTable.Use<NativeSource>(handle);
            HandleEvents wanted = descriptor < 0 ? HandleEvents.None : MaskOf(mask);
            int own = descriptor < 0 ? -1 : SystemCalls.Duplicate(descriptor);
            if (own < 0 && descriptor >= 0) throw new StatusException(Status.Argument, $"fd {descriptor} cannot be duplicated; it is not open.");
            pin.Target.Events.SetDescriptor(wanted, own);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(handle, e);
        }
    }

    static HandleEvents MaskOf(uint mask) => mask != 0 && (mask & ~(uint)HandleEvents.All) == 0
        ? (HandleEvents)mask
        : throw new StatusException(Status.Enum, $"The event mask is 0x{mask:x}; allowed: bits of 0x{(uint)HandleEvents.All:x}, at least one.");
}
