using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>How one cache becomes another.</summary>
sealed class NativePlan(TransferPlan plan) : NativeObject
{
    internal TransferPlan Plan => plan;

    protected override void Free()
    {
    }
}

/// <summary>Plans between two layouts, and what a handoff by one should cost.</summary>
static unsafe class PlanExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_plan_create")]
    static int Create(ulong source, ulong target, ulong* plan)
    {
        try
        {
            HostStructs.RequireNotNull(plan);
            using Pin<NativeLayout> from = HandleTable.Use<NativeLayout>(source);
            using Pin<NativeLayout> to = HandleTable.Use<NativeLayout>(target);
            if (!TransferPlan.TryCreate(from.Target.Layout, to.Target.Layout, out TransferPlan? made, out string? reason)) throw new StatusException(Status.Mismatch, reason!);
            *plan = HandleTable.Add(new NativePlan(made!));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(source, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_plan_steps")]
    static int Steps(ulong plan, uint* steps)
    {
        try
        {
            HostStructs.RequireNotNull(steps);
            using Pin<NativePlan> pin = HandleTable.Use<NativePlan>(plan);
            *steps = (uint)pin.Target.Plan.Steps;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(plan, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_plan_text")]
    static int Text(ulong plan, byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            using Pin<NativePlan> pin = HandleTable.Use<NativePlan>(plan);
            return Texts.Write(pin.Target.Plan.ToString(), buffer, capacity, needed);
        }
        catch (Exception e)
        {
            return Failure.Report(plan, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_plan_estimate")]
    static int Estimate(ulong plan, int tokens, KvhLink* link, KvhEstimate* estimate)
    {
        try
        {
            using Pin<NativePlan> pin = HandleTable.Use<NativePlan>(plan);
            KvhLink given = HostStructs.Read(link);
            var path = new LinkEstimate(given.LatencySeconds, given.BytesPerSecond);
            if (given.MessagesPerSecond != 0) path = path with { MessagesPerSecond = given.MessagesPerSecond };
            HandoffEstimate e = HandoffEstimate.Of(pin.Target.Plan, tokens, path, CodecExports.OfferedId(given.Codec) ?? Codec.CodecId.Raw, given.PrefillTokensPerSecond == 0 ? null : given.PrefillTokensPerSecond);
            HostStructs.Write(estimate, new KvhEstimate
            {
                TransferPays = e.TransferPays is { } pays ? pays ? 1 : 0 : -1,
                KvBytes = e.KvBytes,
                WireBytes = e.WireBytes,
                MaxWireBytes = e.MaxWireBytes,
                Frames = e.Frames,
                ExpectedMs = e.P50Milliseconds,
                PessimisticMs = e.PessimisticMilliseconds,
                RecomputeMs = e.RecomputeMilliseconds ?? 0,
                ExposedMs = e.ExposedMilliseconds ?? 0,
            });
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(plan, e);
        }
    }
}
