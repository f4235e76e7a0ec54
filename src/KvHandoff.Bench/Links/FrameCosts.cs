using KvHandoff.Bench.Kernels;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Links;

/// <summary>What one frame cost, each side on its own core.</summary>
internal readonly record struct FrameCost(CodecId Codec, long Bytes, double EncodeSeconds, double DecodeSeconds);

/// <summary>Encodes and decodes single frames (one granule of one layer) and takes the time, as the two sides of a handoff do.</summary>
internal sealed class FrameCosts : IDisposable
{
    private readonly BlockRows _source;
    private readonly KvSequence _landed;
    private readonly GroupTransfer _transfer;
    private readonly NativeSlab _frame;
    private readonly byte[] _history;
    private readonly int _segments, _granules, _tokens, _historyBytes, _maxSegmentBytes;
    private readonly int[] _lengths;

    internal FrameCosts(BlockRows source, KvSequence landed, int tokens)
    {
        (_source, _landed, _tokens) = (source, landed, tokens);
        LayerGroup group = source.Layout.Groups[0];
        if (!TransferPlan.TryCreate(source.Layout, landed.Cache.Layout, out TransferPlan? plan, out string? reason)) throw new InvalidOperationException(reason);
        _transfer = plan!.Groups[0];
        _segments = group.KvHeads * group.Planes;
        _granules = KvSegment.GranuleCount(tokens);
        _historyBytes = SegmentCoder.HistoryBytes(_transfer, KvCodecs.ExponentWindow);
        _history = new byte[group.Layers.Length * _segments * _historyBytes];
        _maxSegmentBytes = SegmentCoder.MaxEncodedBytes(_transfer, KvCodecs.ExponentWindow, KvPlane.Key, KvSegment.GranuleTokens);
        _frame = NativeSlab.Allocate((long)_segments * _maxSegmentBytes);
        _lengths = new int[_segments];
        Count = group.Layers.Length * _granules;
        RawBytes = source.Layout.BytesForTokens(tokens);
        // Compiled and recompiled before the clock counts.
        for (int i = 0; i < 200; i++)
        {
            Measure(KvCodecs.ExponentWindow, i % Count);
            Measure(KvCodecs.Raw, i % Count);
        }
    }

    /// <summary>Frames.</summary>
    internal int Count { get; }

    /// <summary>Bytes of all rows.</summary>
    internal long RawBytes { get; }

    /// <summary>Forgets what encoders remembered of earlier granules.</summary>
    internal void Forget() => Array.Clear(_history);

    /// <summary>One frame: layer by layer, granule by granule.</summary>
    internal FrameCost Measure(IKvCodec codec, int frame)
    {
        (int layer, int granule) = Math.DivRem(frame, _granules);
        long started = ThreadClock.Nanoseconds();
        long bytes = codec.IsIdentity ? ChecksumRaw(_source.Sequence, layer, granule) : Encode(codec, layer, granule);
        long encoded = ThreadClock.Nanoseconds();
        // Raw lands in place: the receiver verifies it there.
        if (codec.IsIdentity) ChecksumRaw(_landed, layer, granule);
        else Decode(codec, layer, granule);
        return new FrameCost(codec.Id, bytes, (encoded - started) / 1e9, (ThreadClock.Nanoseconds() - encoded) / 1e9);
    }

    public void Dispose() => _frame.Dispose();

    private long Encode(IKvCodec codec, int layer, int granule)
    {
        KvLayerView view = _source.Sequence.View(layer, _tokens);
        long at = 0;
        for (int s = 0; s < _segments; s++)
        {
            Span<byte> history = _history.AsSpan((layer * _segments + s) * _historyBytes, _historyBytes);
            EncodedSegment done = SegmentCoder.Encode(_transfer, codec, view, s / 2, (KvPlane)(s % 2), granule, history, _frame.Span(at, _maxSegmentBytes));
            _lengths[s] = done.Bytes;
            at += done.Bytes;
        }

        return at;
    }

    private void Decode(IKvCodec codec, int layer, int granule)
    {
        KvLayerView view = _landed.View(layer, _tokens);
        long at = 0;
        for (int s = 0; s < _segments; s++)
        {
            ReadOnlySpan<byte> encoded = _frame.Span(at, _lengths[s]);
            Checksums ^= Crc32C.Compute(encoded);
            if (!SegmentCoder.TryDecode(_transfer, codec, encoded, view, s / 2, (KvPlane)(s % 2), granule, out string? error)) throw new InvalidDataException(error);
            at += encoded.Length;
        }
    }

    /// <summary>All checksums together, so that none is left out.</summary>
    private uint Checksums { get; set; }

    private long ChecksumRaw(KvSequence sequence, int layer, int granule)
    {
        KvLayerView view = sequence.View(layer, _tokens);
        long bytes = 0;
        for (int s = 0; s < _segments; s++)
        {
            var plane = (KvPlane)(s % 2);
            Span<byte> rows = view.Plane(granule, plane).Slice(view.Geometry.Plane(plane).RowOffset(s / 2, 0), KvSegment.GranuleTokens * view.Geometry.RowBytes);
            Checksums ^= Crc32C.Compute(rows);
            bytes += rows.Length;
        }

        return bytes;
    }
}
