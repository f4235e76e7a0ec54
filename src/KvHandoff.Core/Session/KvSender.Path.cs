using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

// The account of the way that rows take.
public sealed partial class KvSender
{
    private string? _scheme;

    /// <summary>Name of the transport.</summary>
    internal string Scheme => _scheme ??= _endpoint[..Math.Max(0, _endpoint.IndexOf(':'))];

    internal string Endpoint => _endpoint;

    internal int OpenHandoffs => _open.Count;

    internal PathTally Tally { get; } = new();

    /// <summary>Says which way the rows take and why, what the path should reach and what it reached, and what to change.</summary>
    /// <param name="limit">What the path can do, measured or from its data sheet; null: nothing to compare with.</param>
    /// <exception cref="ArgumentException">The limit is out of range.</exception>
    public PathReport DescribePath(LinkEstimate? limit = null)
    {
        limit?.Validate();
        SenderLink link = _link;
        ImmutableArray<IKvCodec> codecs = OfferedCodecs.Of(_options.Codec, link.Plan);
        (PayloadPath payload, string why) = PathReason.Of(Scheme, IsRemote(), link, codecs);
        var report = new PathReport
        {
            Endpoint = _endpoint,
            Transport = Scheme,
            Payload = payload,
            Why = why,
            IsEncrypted = PathReason.BaseOf(Scheme) == TlsTransport.Scheme,
            Streams = link.Streams,
            Codec = _options.Codec,
            Steps = link.Plan.Steps,
            Groups = GroupsOf(link.Plan, codecs, payload),
            Rates = Tally.Rates,
            Warnings = [],
        };
        if (limit is not null) report = report with { ExpectedBytesPerSecond = limit.RateOf(report.Groups.Sum(g => (double)g.FrameBytes * g.Layers) / report.Groups.Sum(g => g.Layers)) };
        return report with { Warnings = PathWarnings.Of(report, link.Plan, codecs, _options.Transport, _cache, RemoteOf(link)) };
    }

    private bool IsRemote() => TransportEndpoint.TryParse(_endpoint, out TransportEndpoint endpoint, out _) && !endpoint.IsLoopback;

    private System.Net.EndPoint? RemoteOf(SenderLink link) => IsRemote() ? link.RemoteAddress : null;

    private static ImmutableArray<PathGroup> GroupsOf(TransferPlan plan, ImmutableArray<IKvCodec> codecs, PayloadPath payload)
    {
        const int Tokens = KvSegment.GranuleTokens;
        if (HandoffParts.TryShape(plan, sending: true, Tokens, codecs, null, out HandoffShape? from) is not null) return [];
        if (HandoffParts.TryShape(plan, sending: false, Tokens, codecs, null, out HandoffShape? to) is not null) return [];
        var groups = ImmutableArray.CreateBuilder<PathGroup>();
        for (int g = 0; g < plan.Groups.Length; g++)
        {
            GroupTransfer transfer = plan.Groups[g];
            int group = g;
            HandoffPiece[] pieces = [.. from!.Pieces.Where(p => p.Transfer == group)];
            bool window = payload is PayloadPath.SharedMemoryWindow or PayloadPath.RemoteMemory;
            groups.Add(new PathGroup(transfer.Group, pieces.Sum(p => p.Layers.Length), transfer.Steps, pieces.Length == 0 ? 0 : pieces.Max(p => FrameBytes(p, transfer, codecs)),
                window ? from.LiesAlike(g) : codecs.All(c => from.IsDirect(group, c)), window || codecs.All(c => to!.IsDirect(group, c)), RunSize.Of(transfer.Source), RunSize.Of(transfer.Target)));
        }

        return groups.ToImmutable();
    }

    private static long FrameBytes(HandoffPiece piece, GroupTransfer transfer, ImmutableArray<IKvCodec> codecs)
    {
        long segments = (long)piece.Heads.Count * transfer.Source.Planes, most = 0;
        foreach (IKvCodec codec in codecs)
        {
            long rows = 0;
            for (int plane = 0; plane < transfer.Source.Planes; plane++) rows += (long)piece.Heads.Count * SegmentCoder.MaxEncodedBytes(transfer, codec, (KvPlane)plane, KvSegment.GranuleTokens);
            most = Math.Max(most, rows);
        }

        return FrameHeader.Bytes + segments * SegmentEntry.Bytes + most;
    }
}
