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

/// <summary>A sender made by hand, which can say what a correct one never would.</summary>
internal sealed class HandmadeSender : IAsyncDisposable
{
    private readonly IConnection _control, _data;
    private readonly IDuplexPipe _pipe;
    private uint _sequence;

    private HandmadeSender(IConnection control, IConnection data, IDuplexPipe pipe, Welcome welcome)
    {
        _control = control;
        _data = data;
        _pipe = pipe;
        Welcome = welcome;
    }

    internal Welcome Welcome { get; }

    /// <summary>The receiver's memory as it is mapped here.</summary>
    internal ImmutableArray<MemoryRegion> Regions => ((ISharedMemoryPeer)_control).MapRegions();

    internal static async Task<HandmadeSender> ConnectAsync(string endpoint, KvCacheLayout layout)
    {
        IConnection control = await OpenAsync(endpoint, ConnectionPreface.Control);
        IDuplexPipe pipe = control.AsPipe();
        await ControlWriter.WriteAsync(pipe.Output, new Hello(layout, "handmade", 1), CancellationToken.None);
        var welcome = (Welcome)await NextAsync(pipe);
        IConnection data = await OpenAsync(endpoint, ConnectionPreface.Data(0, welcome.Epoch, welcome.ConnectionToken));
        return new HandmadeSender(control, data, pipe, welcome);
    }

    internal async Task<Grant> OfferAsync(KvCacheLayout layout, int tokens, Guid id)
    {
        await TellAsync(new Offer(id, tokens, KvShard.Whole(layout, tokens), CodecId.Raw, 30_000, "", 0));
        return (Grant)await NextAsync(_pipe);
    }

    internal async Task TellAsync(ControlMessage message) => await ControlWriter.WriteAsync(_pipe.Output, message, CancellationToken.None);

    /// <summary>Correct frames of seeded rows, fenced by a grant of this connection's life of the receiver.</summary>
    internal List<HandmadeFrame> Frames(KvCacheLayout layout, Grant grant, int tokens, int seed)
    {
        var frames = new List<HandmadeFrame>();
        var random = new Random(seed);
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            LayerGroup group = layout.Group(layer);
            for (int granule = 0; granule < KvSegment.GranuleCount(tokens); granule++)
            {
                int inGranule = KvSegment.TokensIn(granule, tokens), segmentBytes = inGranule * group.RowBytes;
                byte[] payload = new byte[segmentBytes * group.KvHeads * group.Planes];
                random.NextBytes(payload);
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
                    SlotGeneration = grant.SlotGenerations[0][granule],
                    PayloadBytes = payload.Length,
                    TableCrc = 0,
                };
                frames.Add(new HandmadeFrame(header, entries, payload));
            }
        }

        return frames;
    }

    /// <summary>Sends a frame with the next sequence number of this connection.</summary>
    internal void Send(HandmadeFrame frame)
    {
        byte[] head = new byte[FrameHeader.Bytes + frame.Entries.Length * SegmentEntry.Bytes];
        uint tableCrc = SegmentTable.Write(frame.Entries, head.AsSpan(FrameHeader.Bytes));
        (frame.Header with { TableCrc = tableCrc, Sequence = _sequence++ }).Write(head);
        // A receiver that has had enough ends the connection; what comes of it is the case's to see.
        if (_data.Send(head).IsOk) _data.Send(frame.Payload);
    }

    public async ValueTask DisposeAsync()
    {
        await _pipe.Output.CompleteAsync();
        await _pipe.Input.CompleteAsync();
        await _control.DisposeAsync();
        await _data.DisposeAsync();
    }

    private static async Task<IConnection> OpenAsync(string endpoint, ConnectionPreface preface)
    {
        (ITransport transport, TransportEndpoint address) = Handshake.Resolve(endpoint);
        IConnection connection = await transport.ConnectAsync(address, new TransportOptions(), CancellationToken.None);
        TransportResult sent = await Handshake.SendPrefaceAsync(connection, preface, CancellationToken.None);
        return sent.IsOk ? connection : throw new InvalidOperationException($"{endpoint} closed the connection at once: {sent.Status}");
    }

    private static async Task<ControlMessage> NextAsync(IDuplexPipe pipe)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        ControlReadResult read = await ControlReader.ReadAsync(pipe.Input, timeout.Token);
        return read.Message ?? throw new InvalidOperationException($"The receiver closed the control connection: {read.Error?.Message}");
    }
}
