using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>Rows of one plane of one kv head, tokens in order. A cache's blocks are native memory, so the address stays.</summary>
readonly unsafe struct KvRows(byte* first, int strideBytes, int rowBytes, int tokens)
{
    internal readonly byte* First = first;
    internal readonly int StrideBytes = strideBytes;
    internal readonly int RowBytes = rowBytes;
    internal readonly int Tokens = tokens;

    /// <summary>Fetches the rows' part number <paramref name="part"/> of <paramref name="parts"/> equal ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Prefetch(int part, int parts)
    {
        if (!Sse.IsSupported || First is null) return;
        int end = Tokens * (part + 1) / parts;
        for (int t = Tokens * part / parts; t < end; t++)
        {
            byte* row = First + (long)t * StrideBytes;
            for (int line = 0; line < RowBytes; line += 64) Sse.Prefetch0(row + line);
        }
    }
}

/// <summary>One step of a kernel: up to <see cref="DecodePlan.ItemTokens"/> tokens of one kv head in one block.</summary>
readonly struct DecodeItem(int head, int firstToken, KvRows keys, KvRows values)
{
    internal readonly int Head = head;
    internal readonly int FirstToken = firstToken;
    internal readonly KvRows Keys = keys;
    internal readonly KvRows Values = values;

    /// <summary>0 behind the last item.</summary>
    internal int Tokens => Keys.Tokens;
}

/// <summary>The items of a plan: block by block over all kv heads, a block longer than an item in several per head.</summary>
ref struct DecodeItemWalk(in KvLayerView view, in DecodePlan plan, int itemTokens)
{
    readonly KvLayerView _view = view;
    readonly DecodePlan _plan = plan;
    readonly BlockGeometry _geometry = view.Geometry;
    int _block = plan.StartToken / view.Geometry.BlockTokens, _head, _from = -1;

    /// <summary>The next item; one without tokens at the end.</summary>
    internal unsafe DecodeItem Next()
    {
        for (; _block * _geometry.BlockTokens < _plan.EndToken; _block++, _head = 0)
        {
            (int first, int end) = _plan.WithinBlock(_block, _geometry.BlockTokens);
            for (; _head < _plan.KvHeads; _head++, _from = -1)
            {
                int from = _from < 0 ? first : _from;
                if (from >= end) continue;
                int tokens = Math.Min(itemTokens, end - from);
                _from = from + tokens;
                int token = _block * _geometry.BlockTokens + from;
                // Rows to be unpacked are found by their token, not by an address.
                if (_plan.Unpacks) return new DecodeItem(_head, token, new KvRows(null, 0, 0, tokens), new KvRows(null, 0, 0, tokens));
                return new DecodeItem(_head, token, Rows(KvPlane.Key, from, tokens), Rows(KvPlane.Value, from, tokens));
            }
        }

        return default;
    }

    readonly unsafe KvRows Rows(KvPlane plane, int from, int tokens)
    {
        PlaneGeometry rows = _geometry.Plane(plane);
        byte* first = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(_view.Plane(_block, plane)));
        return new KvRows(first + rows.RowOffset(_head, from), rows.TokenStrideBytes, _geometry.RowBytes, tokens);
    }
}
