using KvHandoff.Layout;

namespace KvHandoff.Bench.Stages;

/// <summary>One segment of a sequence, with the view that holds it.</summary>
internal readonly ref struct Segment(KvLayerView view, int head, KvPlane plane, int granule, int tokens)
{
    internal KvLayerView View { get; } = view;

    internal int Head { get; } = head;

    internal KvPlane Plane { get; } = plane;

    internal int Granule { get; } = granule;

    internal int Tokens { get; } = tokens;

    /// <summary>The rows where they lie; only for head-major blocks of one granule.</summary>
    internal Span<byte> Rows() => View.Plane(Granule, Plane).Slice(View.Geometry.Plane(Plane).RowOffset(Head, 0), Tokens * View.Geometry.RowBytes);
}

/// <summary>Walks a sequence in wire order: layer, granule, head, K before V. Allocates nothing.</summary>
internal ref struct SegmentEnumerator(KvSequence sequence, int tokens)
{
    private readonly int _layers = sequence.Cache.Layout.LayerCount, _granules = KvSegment.GranuleCount(tokens);
    private readonly int _heads = sequence.Cache.Layout.Group(0).KvHeads, _planes = sequence.Cache.Layout.Group(0).Planes;
    private int _layer, _granule, _head, _plane = -1;

    public readonly Segment Current => new(sequence.View(_layer), _head, (KvPlane)_plane, _granule, KvSegment.TokensIn(_granule, tokens));

    public readonly SegmentEnumerator GetEnumerator() => this;

    public bool MoveNext()
    {
        if (++_plane < _planes) return true;
        _plane = 0;
        if (++_head < _heads) return true;
        _head = 0;
        if (++_granule < _granules) return true;
        _granule = 0;
        return ++_layer < _layers;
    }
}
