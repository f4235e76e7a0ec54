using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Transport;

namespace KvHandoff.Session;

/// <summary>
/// One granule of one layer of a sequence, some of its kv heads, in the numbers of the cache itself, where what lies in the blocks is what travels: rows or codes, then the scales that
/// lie beside them, then the tail. Address ranges for a socket, and checksums in place. A value over objects that live as long
/// as the handoff, so that a frame allocates nothing.
/// </summary>
internal readonly struct GranuleRows(KvSequence sequence, int layer, int granule, int tokens, IndexRange heads)
{
    /// <summary>Kv heads, of the cache itself.</summary>
    internal IndexRange Heads => heads;

    /// <summary>Most ranges that <see cref="Ranges"/> yields for any granule of the group.</summary>
    internal static int MaxRanges(in BlockGeometry geometry, int heads) => heads * geometry.Planes * PiecesPerSegment(geometry);

    /// <summary>Appends the address ranges of all segments in frame order, joining neighbours.</summary>
    internal int Ranges(Span<IoRange> ranges)
    {
        KvLayerView view = sequence.View(layer, tokens);
        BlockGeometry geometry = view.Geometry;
        int count = 0;
        for (int head = heads.Start; head < heads.End; head++)
        {
            for (int plane = 0; plane < geometry.Planes; plane++)
            {
                var pieces = new SegmentPieces(view, head, (KvPlane)plane, granule);
                while (pieces.Next(out Span<byte> piece))
                {
                    nint address = RowRun.Over(piece, 1, piece.Length, piece.Length).Address;
                    if (count > 0 && ranges[count - 1].Address + ranges[count - 1].LengthBytes == address)
                        ranges[count - 1] = new IoRange(ranges[count - 1].Address, ranges[count - 1].LengthBytes + piece.Length);
                    else
                        ranges[count++] = new IoRange(address, piece.Length);
                }
            }
        }

        return count;
    }

    /// <summary>CRC-32C of one segment where it lies.</summary>
    internal uint Checksum(int head, KvPlane plane, out int bytes)
    {
        var pieces = new SegmentPieces(sequence.View(layer, tokens), head, plane, granule);
        uint crc = 0;
        bytes = 0;
        while (pieces.Next(out Span<byte> piece))
        {
            crc = Crc32C.Append(crc, piece);
            bytes += piece.Length;
        }

        return crc;
    }

    // Codes and scales of every block that a granule touches, and the tail.
    private static int PiecesPerSegment(in BlockGeometry geometry)
    {
        int blocks = Math.Min(KvSegment.GranuleTokens, (KvSegment.GranuleTokens + geometry.BlockTokens - 1) / geometry.BlockTokens + 1);
        return geometry.ScaleBytesPerHead(KvPlane.Key) + geometry.ScaleBytesPerHead(KvPlane.Value) == 0 ? blocks : 2 * blocks + 1;
    }
}

/// <summary>The runs of bytes that make up a stored segment, in the order in which they travel.</summary>
internal ref struct SegmentPieces
{
    private readonly KvLayerView _view;
    private readonly int _head, _first, _packedEnd, _tailTokens;
    private readonly KvPlane _plane;
    private int _codeToken, _scaleToken;
    private bool _tailDone;

    internal SegmentPieces(in KvLayerView view, int head, KvPlane plane, int granule)
    {
        _view = view;
        _head = head;
        _plane = plane;
        _first = _codeToken = _scaleToken = granule * KvSegment.GranuleTokens;
        int end = _first + KvSegment.TokensIn(granule, view.Tokens);
        _packedEnd = Math.Min(end, view.PackedTokens);
        _tailTokens = end - _packedEnd;
        if (!view.Group.Form(plane).HasStoredScales) _scaleToken = _packedEnd;
    }

    internal bool Next(out Span<byte> piece)
    {
        if (_codeToken < _packedEnd)
        {
            int step = Step(_codeToken, out int block, out int within);
            piece = _view.Plane(block, _plane).Slice(_view.Geometry.Plane(_plane).RowOffset(_head, within), step * _view.Geometry.RowBytes);
            _codeToken += step;
            return true;
        }

        if (_scaleToken < _packedEnd)
        {
            StorageForm form = _view.Group.Form(_plane);
            int step = Step(_scaleToken, out int block, out int within), dim = _view.Group.HeadDim;
            piece = _view.Scales(block, _head, _plane).Slice(form.ScaleBytes(within, dim), form.ScaleBytes(step, dim));
            _scaleToken += step;
            return true;
        }

        bool tail = _tailTokens > 0 && !_tailDone;
        piece = tail ? _view.Tail(_head, _plane)[..(_tailTokens * _view.Group.HeadDim * sizeof(ushort))] : default;
        _tailDone = true;
        return tail;
    }

    private readonly int Step(int token, out int block, out int within)
    {
        (block, within) = Math.DivRem(token, _view.Geometry.BlockTokens);
        return Math.Min(_packedEnd - token, _view.Geometry.BlockTokens - within);
    }
}
