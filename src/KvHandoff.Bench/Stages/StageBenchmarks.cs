using BenchmarkDotNet.Attributes;
using KvHandoff.Attention;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Wire;

namespace KvHandoff.Bench.Stages;

/// <summary>
/// What each stage of a handoff costs alone, on one thread, over a synthesised Llama-3.3-70B-shaped cache far larger than the processor's
/// caches; and, in the same run, what copying and reading that many bytes costs.
/// </summary>
[MemoryDiagnoser]
public class StageBenchmarks
{
    /// <summary>Tokens of the cache: 262,144,000 bytes.</summary>
    public const int Tokens = 800;

    private const int QueryHeads = 64;
    private const int MaxSegments = 64;

    private readonly SegmentEntry[] _entries = new SegmentEntry[MaxSegments];
    private readonly byte[] _frameBytes = new byte[FrameHeader.Bytes + MaxSegments * SegmentEntry.Bytes];
    private KvCacheLayout _layout = null!;
    private PagedKvCache _cache = null!;
    private KvSequence _sequence = null!;
    private NativeSlab _source = null!, _target = null!, _codes = null!;
    private float[] _query = null!, _output = null!, _logSumExp = null!;

    /// <summary>Bytes of cache that one operation of every benchmark works on.</summary>
    public static long Bytes => ShapedModel.Find(ShapedModel.Default).Layout.BytesForTokens(Tokens);

    /// <summary>Frames in those bytes.</summary>
    public static int Frames => ShapedModel.Find(ShapedModel.Default).Layout.LayerCount * KvSegment.GranuleCount(Tokens);

    /// <summary>Synthesises the cache; nothing is measured on zeros.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        _layout = ShapedModel.Find(ShapedModel.Default).Layout;
        _cache = PagedKvCache.Allocate(_layout, Tokens);
        _sequence = _cache.CreateSequence();
        if (!_sequence.TryReserve(Tokens)) throw new InvalidOperationException($"{Tokens} tokens do not fit into a cache of {_cache.FreeTokens}.");
        new CacheSynthesizer(_layout, 1).Fill(_sequence, Tokens);
        _sequence.Advance(Tokens);
        _source = NativeSlab.Allocate(Bytes);
        _target = NativeSlab.Allocate(Bytes);
        MemoryLimits.FillWithNoise(_source.Span(0, (int)Bytes));
        _target.Fill(1);
        _codes = NativeSlab.Allocate(Bytes);
        ConvertInto(_codes);
        LayerGroup group = _layout.Group(0);
        _query = new float[QueryHeads * group.HeadDim];
        _output = new float[_query.Length];
        _logSumExp = new float[QueryHeads];
        var random = new Random(7);
        for (int i = 0; i < _query.Length; i++) _query[i] = (float)(random.NextDouble() - 0.5);
    }

    /// <summary>Frees the cache.</summary>
    [GlobalCleanup]
    public void CleanUp()
    {
        _sequence.Dispose();
        _cache.Dispose();
        _source.Dispose();
        _target.Dispose();
        _codes.Dispose();
    }

    /// <summary>The limit of everything that reads and writes.</summary>
    [Benchmark]
    public void Memcpy() => _source.Span(0, (int)Bytes).CopyTo(_target.Span(0, (int)Bytes));

    /// <summary>The limit of everything that only reads.</summary>
    [Benchmark]
    public ulong Read() => MemoryLimits.Sum(_source.Span(0, (int)Bytes));

    /// <summary>Rows out of the blocks into one run, segment by segment.</summary>
    [Benchmark]
    public void Gather()
    {
        long at = 0;
        foreach (Segment segment in Segments())
        {
            int bytes = segment.Tokens * segment.View.Group.RowBytes;
            SegmentRows.Gather(segment.View, segment.Head, segment.Plane, segment.Granule * KvSegment.GranuleTokens, segment.Tokens, _target.Span(at, bytes));
            at += bytes;
        }
    }

    /// <summary>BF16 to FP8 E4M3 with one scale per (token, kv head), straight from the blocks.</summary>
    [Benchmark]
    public void Convert() => ConvertInto(_target);

    /// <summary>CRC-32C of every segment, straight from the blocks.</summary>
    [Benchmark]
    public uint Checksum()
    {
        uint all = 0;
        foreach (Segment segment in Segments()) all ^= Crc32C.Compute(segment.Rows());
        return all;
    }

    /// <summary>Header and segment table of every frame of those bytes, written and parsed.</summary>
    [Benchmark]
    public int Frame()
    {
        int parsed = 0;
        LayerGroup group = _layout.Group(0);
        int segments = group.KvHeads * group.Planes, table = segments * SegmentEntry.Bytes;
        Span<byte> bytes = _frameBytes;
        for (int layer = 0; layer < _layout.LayerCount; layer++)
        {
            for (int granule = 0; granule < KvSegment.GranuleCount(Tokens); granule++)
            {
                int tokens = KvSegment.TokensIn(granule, Tokens);
                uint segmentBytes = (uint)(tokens * group.RowBytes);
                for (int s = 0; s < segments; s++) _entries[s] = new SegmentEntry((uint)(layer * 31 + s), segmentBytes);
                uint crc = SegmentTable.Write(_entries.AsSpan(0, segments), bytes[FrameHeader.Bytes..]);
                new FrameHeader
                {
                    Codec = CodecId.Raw,
                    ElementType = group.ElementType,
                    Planes = group.Planes,
                    Tokens = tokens,
                    HeadDim = group.HeadDim,
                    FirstHead = 0,
                    HeadCount = group.KvHeads,
                    Layer = layer,
                    Granule = granule,
                    Sequence = (uint)parsed,
                    HandoffId = Guid.Empty,
                    Epoch = 1,
                    LeaseId = 1,
                    SlotGeneration = 1,
                    PayloadBytes = (int)(segments * segmentBytes),
                    TableCrc = crc,
                }.Write(bytes);
                WireError? error = FrameHeader.TryRead(bytes, out FrameHeader header) ?? SegmentTable.TryRead(header, bytes.Slice(FrameHeader.Bytes, table), _entries);
                if (error is not null) throw new InvalidOperationException(error.ToString());
                parsed++;
            }
        }

        return parsed;
    }

    /// <summary>Rows from one run into the blocks: what a receiver does when it cannot receive in place.</summary>
    [Benchmark]
    public void Place()
    {
        long at = 0;
        foreach (Segment segment in Segments())
        {
            int bytes = segment.Tokens * segment.View.Group.RowBytes;
            SegmentRows.Scatter(segment.View, segment.Head, segment.Plane, segment.Granule * KvSegment.GranuleTokens, segment.Tokens, _source.Span(at, bytes));
            at += bytes;
        }
    }

    /// <summary>FP8 E4M3 back to BF16, into one run of rows.</summary>
    [Benchmark]
    public void Restore()
    {
        long read = 0, written = 0;
        foreach (Segment segment in Segments())
        {
            var shape = new SegmentShape(segment.Tokens, segment.View.Group.HeadDim, segment.View.Group.ElementType);
            int encoded = KvCodecs.Fp8.MaxEncodedBytes(shape);
            if (!KvCodecs.Fp8.TryDecode(shape, _codes.Span(read, encoded), _target.Span(written, shape.RowsBytes), out string? error)) throw new InvalidOperationException(error);
            read += encoded;
            written += shape.RowsBytes;
        }
    }

    /// <summary>One decode step's attention over all layers: 64 query heads on 8 kv heads.</summary>
    [Benchmark]
    public void Attend()
    {
        for (int layer = 0; layer < _layout.LayerCount; layer++)
            PagedDecodeAttention.Run(_sequence.View(layer), QueryHeads, _query, default, _output, _logSumExp);
    }

    private void ConvertInto(NativeSlab codes)
    {
        long at = 0;
        foreach (Segment segment in Segments())
        {
            var shape = new SegmentShape(segment.Tokens, segment.View.Group.HeadDim, segment.View.Group.ElementType);
            at += KvCodecs.Fp8.Encode(shape, segment.Rows(), codes.Span(at, KvCodecs.Fp8.MaxEncodedBytes(shape)), out _);
        }
    }

    private SegmentEnumerator Segments() => new(_sequence, Tokens);
}
