using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>Rows of one kv head that one step of a kernel takes: up to <see cref="AttendTile.MostTokens"/> of one block or of the tail.</summary>
readonly struct TileItem(int head, int firstToken, int tokens, bool inTail, int block, int within)
{
    internal readonly int Head = head;
    internal readonly int FirstToken = firstToken;

    /// <summary>0 behind the last item.</summary>
    internal readonly int Tokens = tokens;

    /// <summary>Whether the rows are those of the BF16 tail.</summary>
    internal readonly bool InTail = inTail;

    /// <summary>Block, unless in the tail, and the first row's position in it.</summary>
    internal readonly int Block = block, Within = within;
}

/// <summary>
/// The items of a range of tokens: block by block over the kv heads, so that a block is read in one run; a block longer than an item in
/// several per head. An item never spans scale tiles.
/// </summary>
ref struct TileWalk(in KvLayerView view, int start, int end, int firstHead, int endHead)
{
    readonly KvLayerView _view = view;
    readonly int _end = end, _firstHead = firstHead, _endHead = endHead, _blockTokens = view.Geometry.BlockTokens, _tileTokens = view.Group.TileTokens;
    int _start = start, _from = start, _head = firstHead;

    /// <summary>The next item; one without tokens at the end.</summary>
    internal TileItem Next()
    {
        while (_start < _end)
        {
            bool inTail = _start >= _view.PackedTokens;
            (int block, int within) = Math.DivRem(_start, _blockTokens);
            int end = inTail ? _end : (int)Math.Min(Math.Min(_end, _view.PackedTokens), (long)_start - within + _blockTokens);
            if (_from >= end) (_head, _from) = (_head + 1, _start);
            if (_head >= _endHead)
            {
                (_start, _from, _head) = (end, end, _firstHead);
                continue;
            }

            int from = _from, position = from % _blockTokens;
            int tokens = Math.Min(Math.Min(end - from, AttendTile.MostTokens), _tileTokens - position % _tileTokens);
            _from = from + tokens;
            return new TileItem(_head, from, tokens, inTail, block, inTail ? from % _tileTokens : position);
        }

        return default;
    }

    internal readonly int HeadDim => _view.Group.HeadDim;

    /// <summary>Address of the first row of an item whose rows are no scattered elements.</summary>
    internal readonly unsafe byte* Row(in TileItem item, KvPlane plane)
    {
        if (item.InTail) return Address(_view.Tail(item.Head, plane)) + item.Within * _view.Group.HeadDim * sizeof(ushort);
        return Address(_view.Plane(item.Block, plane)) + _view.Geometry.Plane(plane).RowOffset(item.Head, item.Within);
    }

    /// <summary>Address of the scales from an item's first token on; of its tile's for channel scales.</summary>
    internal readonly unsafe byte* Scales(in TileItem item, in StorageForm form, KvPlane plane) =>
        Address(StoredRows.ScalesAt(_view, form, item.Block, item.Head, plane, item.Within));

    static unsafe byte* Address(Span<byte> bytes) => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes));
}
