using System.IO.Pipelines;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>A sender made by hand over real sockets, which can say what a correct one never would.</summary>
internal sealed class RawSender : IAsyncDisposable
{
    private readonly IDuplexPipe _pipe;
    private readonly IConnection _control;
    private uint _sequence;

    private RawSender(IConnection control, IConnection data, IDuplexPipe pipe, Welcome welcome)
    {
        _control = control;
        Data = data;
        _pipe = pipe;
        Welcome = welcome;
    }

    internal IConnection Data { get; }

    internal Welcome Welcome { get; }

    internal static async Task<IConnection> OpenAsync(string endpoint)
    {
        Assert.True(TransportEndpoint.TryParse(endpoint, out TransportEndpoint address, out _));
        Assert.True(Transports.TryGet(address.Scheme, out ITransport? transport));
        return await transport.ConnectAsync(address, new TransportOptions(), CancellationToken.None);
    }

    internal static async Task<RawSender> ConnectAsync(string endpoint, KvCacheLayout layout)
    {
        IConnection control = await OpenAsync(endpoint);
        await SendPrefaceAsync(control, ConnectionPreface.Control);
        IDuplexPipe pipe = control.AsPipe();
        await ControlWriter.WriteAsync(pipe.Output, new Hello(layout, "raw", 1), CancellationToken.None);
        var welcome = Assert.IsType<Welcome>((await ControlReader.ReadAsync(pipe.Input)).Message);
        IConnection data = await OpenAsync(endpoint);
        await SendPrefaceAsync(data, ConnectionPreface.Data(0, welcome.Epoch, welcome.ConnectionToken));
        return new RawSender(control, data, pipe, welcome);
    }

    internal static async Task SendPrefaceAsync(IConnection connection, ConnectionPreface preface)
    {
        var bytes = new byte[ConnectionPreface.Bytes];
        preface.Write(bytes);
        Assert.True((await connection.SendAsync(bytes, CancellationToken.None)).IsOk);
    }

    internal async Task<ControlMessage> AskAsync(ControlMessage message)
    {
        await TellAsync(message);
        return await NextAsync();
    }

    internal async Task TellAsync(ControlMessage message) => await ControlWriter.WriteAsync(_pipe.Output, message, CancellationToken.None);

    internal async Task<ControlMessage> NextAsync()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        return (await ControlReader.ReadAsync(_pipe.Input, timeout.Token)).Message ?? throw new InvalidOperationException("The receiver closed the control connection.");
    }

    /// <summary>Offers a whole sequence and returns the grant.</summary>
    internal async Task<Grant> OfferAsync(KvCacheLayout layout, int tokens, Guid id) =>
        Assert.IsType<Grant>(await AskAsync(new Offer(id, tokens, KvShard.Whole(layout, tokens), CodecId.Raw, 30_000, "", 0)));

    /// <summary>A correct frame of random rows for one granule; tests change what they want to be wrong.</summary>
    internal (FrameHeader Header, SegmentEntry[] Entries, byte[] Payload) Frame(KvCacheLayout layout, Grant grant, int layer, int granule, int tokens)
    {
        LayerGroup group = layout.Group(layer);
        int inGranule = KvSegment.TokensIn(granule, tokens), segmentBytes = inGranule * group.RowBytes;
        var payload = new byte[segmentBytes * group.KvHeads * group.Planes];
        new Random(layer * 1000 + granule).NextBytes(payload);
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
        return (header, entries, payload);
    }

    /// <summary>Sends a frame with the next sequence number and a table checksum that fits the entries.</summary>
    internal void Send(FrameHeader header, SegmentEntry[] entries, ReadOnlySpan<byte> payload)
    {
        var head = new byte[FrameHeader.Bytes + entries.Length * SegmentEntry.Bytes];
        uint tableCrc = SegmentTable.Write(entries, head.AsSpan(FrameHeader.Bytes));
        (header with { TableCrc = tableCrc, Sequence = _sequence++ }).Write(head);
        Assert.True(Data.Send(head).IsOk);
        Assert.True(Data.Send(payload).IsOk);
    }

    public async ValueTask DisposeAsync()
    {
        await _pipe.Output.CompleteAsync();
        await _pipe.Input.CompleteAsync();
        await _control.DisposeAsync();
        await Data.DisposeAsync();
    }
}
