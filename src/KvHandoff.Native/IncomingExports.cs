using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>Watching and taking an incoming handoff.</summary>
static unsafe class IncomingExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_describe")]
    static int Describe(ulong incoming, KvhIncomingInfo* info)
    {
        try
        {
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            IncomingHandoff described = pin.Target.Incoming;
            HostStructs.Write(info, new KvhIncomingInfo
            {
                State = (int)described.Status,
                HandoffId = HostStructs.Write(described.Id),
                TotalTokens = described.TotalTokens,
                ReusedTokens = described.ReusedTokens,
                Layers = pin.Target.Layers,
                LayersLanded = pin.Target.LandedLayers,
                Priority = described.Priority,
                Intent = (int)described.Intent,
            });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_request_id")]
    static int RequestId(ulong incoming, byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            return Texts.Write(pin.Target.Incoming.RequestId, buffer, capacity, needed);
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_wait_layer")]
    static int WaitLayer(ulong incoming, int layer, long timeoutMs)
    {
        try
        {
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            HostStructs.RequireRange(layer, 0, pin.Target.Layers - 1, "layer");
            Task landed = pin.Target.Incoming.LayerAsync(layer);
            if (!landed.IsCompleted)
            {
                if (timeoutMs == 0) return Status.Pending;
                CallbackScope.RequireOutside();
                if (!landed.Wait(timeoutMs < 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(Math.Min(timeoutMs, int.MaxValue)))) return Status.Timeout;
            }

            landed.GetAwaiter().GetResult();
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_target")]
    static int Target(ulong incoming, ulong* sequence)
    {
        try
        {
            HostStructs.RequireNotNull(sequence);
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            pin.Target.RequireNotFailed();
            *sequence = HandleTable.Add(new NativeSequence(pin.Target.Incoming.Target, pin.Target.Cache, pin.Target));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_take")]
    static int Take(ulong incoming, ulong* sequence)
    {
        try
        {
            HostStructs.RequireNotNull(sequence);
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            KvSequence taken = pin.Target.Take();
            try
            {
                *sequence = HandleTable.Add(new NativeSequence(taken, pin.Target.Cache));
            }
            catch
            {
                pin.Target.PutBack(taken);
                throw;
            }

            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_manifest")]
    static int Manifest(ulong incoming, KvhManifest* manifest)
    {
        try
        {
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            HostStructs.Write(manifest, pin.Target.Manifest());
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_cancel")]
    static int Cancel(ulong incoming)
    {
        try
        {
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            pin.Target.Cancel();
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_incoming_first_attend")]
    static int FirstAttend(ulong incoming, long elapsedNs)
    {
        try
        {
            using Pin<NativeIncoming> pin = HandleTable.Use<NativeIncoming>(incoming);
            if (elapsedNs < 0) throw new StatusException(Status.Argument, $"elapsed_ns is {elapsedNs}; it must not be negative.");
            pin.Target.Incoming.RecordFirstAttend(TimeSpan.FromTicks(elapsedNs / 100));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(incoming, e);
        }
    }
}
