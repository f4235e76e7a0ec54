using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Transport;

namespace KvHandoff.Session;

/// <summary>Why the rows of a sender go the way they go.</summary>
internal static class PathReason
{
    /// <summary>The transport below wrappers such as <c>fault+tcp</c>.</summary>
    internal static string BaseOf(string scheme) => scheme[(scheme.LastIndexOf('+') + 1)..];

    internal static (PayloadPath Payload, string Why) Of(string scheme, bool isRemote, SenderLink link, ImmutableArray<IKvCodec> codecs)
    {
        string transport = BaseOf(scheme);
        if (transport == SharedMemoryTransport.Scheme)
        {
            return WhyNoWindow(link.Window is not null, link.Plan, codecs) is { } not
                ? (PayloadPath.SharedMemoryRing, $"payload through the ring of shared memory, because {not}")
                : (PayloadPath.SharedMemoryWindow, "the sender writes into the receiver's blocks, which it has mapped");
        }

        if (transport == UcxTransport.Scheme)
        {
            return WhyNoWindow(link.Window is not null, link.Plan, codecs) is { } not
                ? (isRemote ? PayloadPath.Network : PayloadPath.Other, $"payload in UCX messages ({link.Lanes}), because {(link.Window is null ? "no device here writes into the receiver's blocks by itself, or K and V lie apart there" : not)}")
                : (PayloadPath.RemoteMemory, $"the sender writes into the receiver's blocks from afar where rows lie alike (UCX {UcxTransport.LibraryVersion}: {link.Lanes})");
        }

        if (transport is TcpTransport.Scheme or TlsTransport.Scheme or UnixSocketTransport.Scheme)
        {
            return isRemote ? (PayloadPath.Network, $"payload over {transport} connections to another host")
                : (PayloadPath.LocalSocket, $"payload through {transport} sockets of this host, because that is the endpoint's scheme");
        }

        return (PayloadPath.Other, $"payload through transport {scheme}");
    }

    /// <summary>Why a sender on the receiver's host does not write the receiver's blocks by itself; null when it does.</summary>
    internal static string? WhyNoWindow(bool isMapped, TransferPlan plan, ImmutableArray<IKvCodec> codecs)
    {
        if (!isMapped) return "the receiver shares no memory: not all of its blocks are in a SharedSlab, or K and V lie apart";
        if (!codecs.Any(c => c.IsIdentity)) return $"codec {codecs[0].Name} is asked for, and only raw or auto writes rows in place";
        if (!plan.SourcePart.IsAll || !plan.TargetPart.IsAll) return "one of the caches is a part of the model's";
        if (PlacedFrames.Of(plan, codecs) is not null) return null;
        return plan.Groups.Any(g => HasOuterScales(g.Target))
            ? "scales of the receiver lie elsewhere than in its blocks"
            : $"rows of a head are no run of bytes in the receiver's order ({string.Join(", ", plan.Groups.Select(g => g.Target.Order).Distinct())})";
    }

    private static bool HasOuterScales(LayerGroup group) => IsOuter(group.Form(KvPlane.Key)) || (group.Planes == 2 && IsOuter(group.Form(KvPlane.Value)));

    private static bool IsOuter(StorageForm form) => form.IsScaled && !form.HasStoredScales;
}
