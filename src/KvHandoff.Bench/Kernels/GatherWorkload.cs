using KvHandoff.Bench.Stages;
using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Bench.Kernels;

/// <summary>Rows out of an engine's blocks into canonical order (token-major within a head), or back into them.</summary>
internal sealed class GatherWorkload : KernelWorkload
{
    private readonly BlockRows _blocks;
    private readonly NativeSlab _target;
    private readonly long _bytes;
    private readonly bool _scatters;

    internal GatherWorkload(KernelBuffers buffers, KernelSize size, DimensionOrder order, int blockTokens, bool scatters)
    {
        (LayerGroup group, int tokens) = BlockRows.Shaped(size, order, blockTokens);
        _blocks = new BlockRows(buffers, group, tokens);
        _scatters = scatters;
        // Not where the copy of the limit goes: what is scattered has to be the rows.
        _target = buffers.Codes;
        _bytes = _blocks.Layout.BytesForTokens(tokens);
        Gather(_blocks, _target);
        Limits = [buffers.Memcpy(_target, _bytes)];
    }

    internal override IReadOnlyList<KernelLimit> Limits { get; }

    internal override void Run()
    {
        if (_scatters) Scatter();
        else Gather(_blocks, _target);
    }

    internal override string? Check()
    {
        Gather(_blocks, _target);
        Scatter();
        Span<byte> gathered = _target.Span(0, (int)_bytes);
        byte[] before = gathered.ToArray();
        gathered.Clear();
        Gather(_blocks, _target);
        return gathered.SequenceEqual(before) && gathered.ContainsAnyExcept((byte)0) ? null : "Rows scattered into blocks and gathered again differ.";
    }

    public override void Dispose() => _blocks.Dispose();

    /// <summary>All rows in wire order, end to end.</summary>
    internal static void Gather(BlockRows blocks, NativeSlab target)
    {
        long at = 0;
        foreach (Segment segment in blocks.Segments())
        {
            int bytes = segment.Tokens * segment.View.Group.RowBytes;
            SegmentRows.Gather(segment.View, segment.Head, segment.Plane, segment.Granule * KvSegment.GranuleTokens, segment.Tokens, target.Span(at, bytes));
            at += bytes;
        }
    }

    private void Scatter()
    {
        long at = 0;
        foreach (Segment segment in _blocks.Segments())
        {
            int bytes = segment.Tokens * segment.View.Group.RowBytes;
            SegmentRows.Scatter(segment.View, segment.Head, segment.Plane, segment.Granule * KvSegment.GranuleTokens, segment.Tokens, _target.Span(at, bytes));
            at += bytes;
        }
    }
}
