using System.Collections.Immutable;
using System.IO.Pipelines;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Fuzz;

/// <summary>One granule of one layer with rows of its own, ready to be sent at any time by anybody.</summary>
internal sealed record HandmadeFrame(FrameHeader Header, SegmentEntry[] Entries, byte[] Payload)
{
    /// <summary>Where a landed sequence does not have these rows, or null.</summary>
    internal string? Difference(KvSequence landed)
    {
        KvLayerView view = landed.View(Header.Layer);
        int rowBytes = view.Group.RowBytes, first = Header.Granule * KvSegment.GranuleTokens;
        for (int s = 0; s < Entries.Length; s++)
        {
            for (int token = 0; token < Header.Tokens; token++)
            {
                ReadOnlySpan<byte> row = Payload.AsSpan((s * Header.Tokens + token) * rowBytes, rowBytes);
                if (!row.SequenceEqual(view.Row(s / Header.Planes, (KvPlane)(s % Header.Planes), first + token))) return $"layer {Header.Layer}, segment {s}, token {first + token} differs";
            }
        }

        return null;
    }
}

/// <summary>A sender made by hand, which can say what a correct one never would: of the lab, and of tests.</summary>
internal sealed class HandmadeSender : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly IConnection _control;
    private readonly IDuplexPipe _pipe;
    private uint _sequence;

    private HandmadeSender(IConnection control, IConnection data, IDuplexPipe pipe, Welcome welcome)
    {
        _control = control;
        Data = data;
        _pipe = pipe;
        Welcome = welcome;
    }

    internal IConnection Data { get; }

    internal Welcome Welcome { get; }

    /// <summary>The receiver's memory as it is mapped here.</summary>
    internal ImmutableArray<MemoryRegion> Regions => ((ISharedMemoryPeer)_control).MapRegions();

    /// <summary>A connection on which nothing was said yet.</summary>
    internal static Task<IConnection> OpenAsync(string endpoint)
    {
        (ITransport transport, TransportEndpoint address) = Handshake.Resolve(endpoint);
        return transport.ConnectAsync(address, new TransportOptions(), CancellationToken.None);
    }

    internal static async Task SendPrefaceAsync(IConnection connection, ConnectionPreface preface)
    {
        TransportResult sent = await Handshake.SendPrefaceAsync(connection, preface, CancellationToken.None);
        if (!sent.IsOk) throw new InvalidOperationException($"{connection.Description} closed at once: {sent.Status}");
    }

    internal static async Task<HandmadeSender> ConnectAsync(string endpoint, KvCacheLayout layout)
    {
        IConnection control = await OpenAsync(endpoint);
        await SendPrefaceAsync(control, ConnectionPreface.Control);
        IDuplexPipe pipe = control.AsPipe();
        await ControlWriter.WriteAsync(pipe.Output, new Hello(layout, "handmade", 1), CancellationToken.None);
        var welcome = (Welcome)await NextAsync(pipe);
        IConnection data = await OpenAsync(endpoint);
        await SendPrefaceAsync(data, ConnectionPreface.Data(0, welcome.Epoch, welcome.ConnectionToken));
        return new HandmadeSender(control, data, pipe, welcome);
    }

    /// <summary>Offers a whole sequence and returns the grant.</summary>
    internal async Task<Grant> OfferAsync(KvCacheLayout layout, int tokens, Guid id) =>
        (Grant)await AskAsync(new Offer(id, tokens, KvShard.Whole(layout, tokens), CodecId.Raw, 30_000, "", 0));

    internal async Task TellAsync(ControlMessage message) => await ControlWriter.WriteAsync(_pipe.Output, message, CancellationToken.None);

    internal async Task<ControlMessage> AskAsync(ControlMessage message)
    {
        await TellAsync(message);
        return await NextAsync();
    }

    internal Task<ControlMessage> NextAsync() => NextAsync(_pipe);

    /// <summary>A correct frame of seeded rows for one granule, fenced by a grant of this connection's life of the receiver; what is to be wrong is changed in it.</summary>
    internal HandmadeFrame Frame(KvCacheLayout layout, Grant grant, int layer, int granule, int tokens, int seed = 0)
    {
        LayerGroup group = layout.Group(layer);
        int inGranule = KvSegment.TokensIn(granule, tokens), segmentBytes = inGranule * group.RowBytes;
        byte[] payload = new byte[segmentBytes * group.KvHeads * group.Planes];
        new Random(seed * 7919 + layer * 1000 + granule).NextBytes(payload);
        var entries = new SegmentEntry[group.KvHeads * group.Planes];
        for (int s = 0; s < entries.Length; s++) entries[s] = new SegmentEntry(Crc32C.Compute(payload.AsSpan(s * segmentBytes, segmentBytes)), (uint)segmentBytes);
        var header = new FrameHeader
        {
            Codec = CodecId.Raw,
            ElementType = group.ElementType,
            Planes = group.Planes,
            Tokens = inGranule,
            HeadDim = group.HeadDim,
            FirstHead = 0,
            HeadCount = group.KvHeads,
            Layer = layer,
            Granule = granule,
            Sequence = 0,
            HandoffId = grant.HandoffId,
            Epoch = Welcome.Epoch,
            LeaseId = grant.LeaseId,
            SlotGeneration = grant.SlotGenerations[layout.GroupOf(layer)][granule],
            PayloadBytes = payload.Length,
            TableCrc = 0,
        };
        return new HandmadeFrame(header, entries, payload);
    }

    /// <summary>Correct frames of a whole sequence.</summary>
    internal List<HandmadeFrame> Frames(KvCacheLayout layout, Grant grant, int tokens, int seed)
    {
        var frames = new List<HandmadeFrame>();
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            for (int granule = 0; granule < KvSegment.GranuleCount(tokens); granule++) frames.Add(Frame(layout, grant, layer, granule, tokens, seed));
        }

        return frames;
    }

    /// <summary>Sends a frame with the next sequence number of this connection and a table checksum that fits its entries.</summary>
    internal void Send(HandmadeFrame frame) => Send(frame.Header, frame.Entries, frame.Payload);

    /// <summary>As above, with any payload.</summary>
    internal void Send(FrameHeader header, SegmentEntry[] entries, ReadOnlySpan<byte> payload)
    {
        byte[] head = new byte[FrameHeader.Bytes + entries.Length * SegmentEntry.Bytes];
        uint tableCrc = SegmentTable.Write(entries, head.AsSpan(FrameHeader.Bytes));
        (header with { TableCrc = tableCrc, Sequence = _sequence++ }).Write(head);
        // A receiver that has had enough ends the connection; what comes of it is the caller's to see.
        if (Data.Send(head).IsOk) Data.Send(payload);
    }

    public async ValueTask DisposeAsync()
    {
        await _pipe.Output.CompleteAsync();
        await _pipe.Input.CompleteAsync();
        await _control.DisposeAsync();
        await Data.DisposeAsync();
    }

    private static async Task<ControlMessage> NextAsync(IDuplexPipe pipe)
    {
        using var timeout = new CancellationTokenSource(Patience);
        ControlReadResult read = await ControlReader.ReadAsync(pipe.Input, timeout.Token);
        return read.Message ?? throw new InvalidOperationException($"The receiver closed the control connection: {read.Error?.Message}");
    }
}
