using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>A lossless codec over the segments of one head after another, encoding or decoding.</summary>
internal sealed class CodecWorkload : KernelWorkload
{
    private readonly IKvCodec _codec;
    private readonly KernelShape _shape;
    private readonly SegmentShape _segment;
    private readonly NativeSlab _rows, _codes, _target;
    private readonly byte[] _history;
    private readonly int[] _lengths;
    private readonly bool _decodes;
    private long _encodedBytes;

    internal CodecWorkload(KernelBuffers buffers, KernelShape shape, IKvCodec codec, RowSource source, bool decodes)
    {
        _codec = codec;
        _shape = shape;
        _decodes = decodes;
        _segment = new SegmentShape(shape.Tokens, shape.HeadDim, ElementType.BFloat16, source is RowSource.ReferenceKeys or RowSource.SyntheticKeys ? KvPlane.Key : KvPlane.Value);
        _rows = buffers.Rows(source, shape);
        _codes = buffers.Codes;
        _target = buffers.Target;
        _history = new byte[codec.HistoryBytes(_segment)];
        _lengths = new int[shape.Segments];
        Limits = [buffers.Memcpy(_rows, shape.Bytes)];
        Encode();
    }

    internal override IReadOnlyList<KernelLimit> Limits { get; }

    internal override double? CompressionRatio => (double)_shape.Bytes / _encodedBytes;

    internal override void Run()
    {
        if (_decodes) Decode();
        else Encode();
    }

    internal override string? Check()
    {
        int bytes = (int)_shape.Bytes;
        _target.Span(0, bytes).Clear();
        Decode();
        int equal = _rows.Span(0, bytes).CommonPrefixLength(_target.Span(0, bytes));
        return equal == bytes ? null : $"Codec {_codec.Name}: byte {equal} of {bytes} differs after encoding and decoding.";
    }

    // Encoded bytes lie end to end, as they do in a frame.
    private void Encode()
    {
        long at = 0;
        int most = _codec.MaxEncodedBytes(_segment);
        _history.AsSpan().Clear();
        for (int s = 0; s < _shape.Segments; s++)
        {
            var rows = new RowRuns(_rows.Span((long)s * _shape.SegmentBytes, _shape.SegmentBytes), _shape.RowBytes);
            at += _lengths[s] = _codec.Encode(_segment, rows, _history, _codes.Span(at, most), out _);
        }

        _encodedBytes = at;
    }

    private void Decode()
    {
        long at = 0;
        for (int s = 0; s < _shape.Segments; s++)
        {
            var rows = new RowRuns(_target.Span((long)s * _shape.SegmentBytes, _shape.SegmentBytes), _shape.RowBytes);
            if (!_codec.TryDecode(_segment, _codes.Span(at, _lengths[s]), rows, out string? error)) throw new InvalidDataException(error);
            at += _lengths[s];
        }
    }
}
