using System.Collections.Immutable;
using System.Net;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Session;

/// <summary>What is to be changed about a path. Every text says what was found and what to do.</summary>
internal static class PathWarnings
{
    private const int ShortRunBytes = 4096, SmallBufferBytes = 1 << 20;

    internal static ImmutableArray<PathWarning> Of(PathReport report, TransferPlan plan, ImmutableArray<IKvCodec> codecs, TransportOptions options, PagedKvCache cache, EndPoint? remote)
    {
        var warnings = ImmutableArray.CreateBuilder<PathWarning>();
        foreach (PathGroup group in report.Groups)
        {
            GroupTransfer transfer = plan.Groups.First(g => g.Group == group.Group);
            Rows(group.Group, "sender", transfer.Source, group.SenderRuns, Add);
            Rows(group.Group, "receiver", transfer.Target, group.ReceiverRuns, Add);
            if (group.Steps.HasFlag(TransferSteps.Lossy))
                Add(PathConcern.Lossy, $"Group {group.Group} is rounded on the way, from {transfer.Source.Form(KvPlane.Key)} to {transfer.Target.Form(KvPlane.Key)}: store the same form on both sides where rows must be equal.");
        }

        if (codecs.FirstOrDefault(c => c.IsLossy) is { } lossy)
            Add(PathConcern.Lossy, $"Codec {lossy.Name} rounds: offer raw or {HandoffAccount.NameOf(CodecId.Auto)} where rows must be equal.");
        if (report.Payload == PayloadPath.SharedMemoryRing)
            Add(PathConcern.NoWindow, $"The path is {report.Why}: lay the receiver's cache over a SharedSlab, K, V and scales in one block, and offer raw or auto for whole caches.");
        if (report.Payload == PayloadPath.LocalSocket)
            Add(PathConcern.NoSharedMemory, $"Both ends are on this host, and rows pass through {report.Transport} sockets: listen on shm:// with the cache over a SharedSlab.");
        if (report.Payload == PayloadPath.Network) Network(report, options, cache, remote, Add);
        if (report is { OfExpected: < 0.5, ExpectedBytesPerSecond: { } expected })
            Add(PathConcern.BelowExpectation, FormattableString.Invariant($"The best handoff reached {report.Rates.BestBytesPerSecond / 1e9:0.000} GB/s of {expected / 1e9:0.000}: ")
                + "look for its longest phase in HandoffCost; where that is Wire, measure the link with another program; a handoff that waits for prefill is slower than its path.");
        return warnings.ToImmutable();

        void Add(PathConcern concern, string text) => warnings.Add(new PathWarning(concern, text));
    }

    private static void Rows(int index, string side, LayerGroup group, ImmutableArray<RunSize> runs, Action<PathConcern, string> add)
    {
        if (!SegmentRows.IsDirect(group.Geometry))
            add(PathConcern.GatheredRows, $"Group {index}: the {side}'s order {group.Order} keeps no head's tokens together, so its rows pass through a buffer: use {DimensionOrder.HeadMajor} or {DimensionOrder.PlaneHeadMajor} where the engine allows.");
        RunSize rows = runs.MaxBy(r => (long)r.Bytes * r.Runs);
        if (rows.Bytes >= ShortRunBytes) return;
        // In head-major order a block's tokens of one head are one run.
        int tokens = (ShortRunBytes + group.RowBytes - 1) / group.RowBytes;
        string blocks = group.BlockTokens < tokens ? $"blocks of {tokens} tokens or more instead of {group.BlockTokens}, in order" : "order";
        add(PathConcern.ShortRuns, $"Group {index}: most of the {side}'s bytes lie in runs of {rows.Bytes}, below {ShortRunBytes}: use {blocks} {DimensionOrder.HeadMajor}.");
    }

    private static void Network(PathReport report, TransportOptions options, PagedKvCache cache, EndPoint? remote, Action<PathConcern, string> add)
    {
        if (report.Streams == 1)
            add(PathConcern.OneStream, "One data connection goes to another host, and one connection seldom fills a fast link: set KvSenderOptions.Streams to 2 to 8, and KvReceiverOptions.MaxStreams to as many.");
        if (!report.IsEncrypted)
            add(PathConcern.Plaintext, $"Cache bytes go to another host over {report.Transport}, which everyone on the path can read and change: use tls:// endpoints.");
        foreach ((string name, int bytes) in new[] { (nameof(options.SendBufferBytes), options.SendBufferBytes), (nameof(options.ReceiveBufferBytes), options.ReceiveBufferBytes) })
        {
            if (bytes is > 0 and < SmallBufferBytes)
                add(PathConcern.SmallSocketBuffers, $"TransportOptions.{name} is {bytes}, which bounds what is in flight: set it to 0, so that the kernel tunes it, or to {SmallBufferBytes} or more.");
        }

        if (options.SendBufferBytes == 0 && HostSettings.LargestTunedSendBuffer() is { } tuned and < SmallBufferBytes)
            add(PathConcern.SmallSocketBuffers, $"The kernel tunes send buffers up to {tuned} bytes: raise the third number of net.ipv4.tcp_wmem, and of tcp_rmem at the receiver.");
        if (remote is not IPEndPoint peer || cache.Pools.Length == 0) return;
        MemoryRegion blocks = cache.Pools[0].Storage.Span[0].Region;
        if (HostSettings.NumaNodeOfRoute(peer.Address) is { } device && HostSettings.NumaNodeOfMemory(blocks.Address) is { } memory && device != memory)
            add(PathConcern.RemoteNumaNode, $"The network device is at NUMA node {device}, the blocks at node {memory}: bind the process to node {device} (numactl --cpunodebind={device} --membind={device}).");
    }
}
