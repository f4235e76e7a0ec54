using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// Which rows a sender has published, and what of them has to be sent: tokens come in ranges in any order, and a frame is due when
/// its granule is complete. What the receiver has already, reused or landed before a break, is never due.
/// </summary>
/// <remarks>Not thread-safe. Layers and tokens here are those of the sender's own cache.</remarks>
internal sealed class PublishedRows
{
    private readonly HandoffShape _shape;
    private readonly int _layers, _granules;
    private readonly PooledArray<ulong> _tokens;
    private readonly PooledArray<bool> _due, _atReceiver;

    internal PublishedRows(HandoffShape shape)
    {
        _shape = shape;
        _layers = shape.Layout.LayerCount;
        _granules = KvSegment.GranuleCount(shape.OwnTokens);
        _tokens = new PooledArray<ulong>(_layers * _granules);
        _due = new PooledArray<bool>(shape.Frames);
        _atReceiver = new PooledArray<bool>(shape.Frames);
    }

    /// <summary>Nothing is asked any more.</summary>
    internal void Return()
    {
        _tokens.Return();
        _due.Return();
        _atReceiver.Return();
    }

    /// <summary>Marks tokens of a layer as final and adds the frames that this completes to <paramref name="due"/>.</summary>
    internal void Add(int layer, IndexRange tokens, List<(HandoffPiece Piece, int Frame)> due)
    {
        for (int granule = tokens.Start / KvSegment.GranuleTokens; granule * KvSegment.GranuleTokens < tokens.End; granule++)
        {
            int first = granule * KvSegment.GranuleTokens;
            int from = Math.Max(tokens.Start, first) - first, to = Math.Min(tokens.End - first, KvSegment.GranuleTokens);
            ref ulong published = ref _tokens.Items[layer * _granules + granule];
            ulong before = published;
            published |= Mask(to) & ~Mask(from);
            if (published == before || published != Full(granule)) continue;
            foreach (HandoffPiece piece in _shape.Pieces)
            {
                (int wholeLayer, int wholeGranule) = (layer + _shape.Own.Layers.Start, granule + _shape.Own.Tokens.Start / KvSegment.GranuleTokens);
                if (!piece.Has(wholeLayer, wholeGranule)) continue;
                int frame = piece.FrameOf(wholeLayer, wholeGranule);
                _due.Items[frame] = true;
                if (!_atReceiver.Items[frame]) due.Add((piece, frame));
            }
        }
    }

    /// <summary>
    /// Notes what the receiver has, the first tokens of the sequence and what landed before a break, and adds the published rest to
    /// <paramref name="due"/>.
    /// </summary>
    internal void Resume(ByteValue landed, int reusedTokens, List<(HandoffPiece Piece, int Frame)> due)
    {
        foreach (HandoffPiece piece in _shape.Pieces)
        {
            for (int frame = piece.FirstFrame; frame < piece.FirstFrame + piece.Frames; frame++)
            {
                bool reused = (piece.Locate(frame).Granule + 1) * KvSegment.GranuleTokens <= reusedTokens;
                _atReceiver.Items[frame] = reused || LandedFrames.IsSet(landed.Span, frame);
                if (_due.Items[frame] && !_atReceiver.Items[frame]) due.Add((piece, frame));
            }
        }
    }

    /// <summary>Null when every frame is published or at the receiver, else which layer is not.</summary>
    internal string? Missing()
    {
        foreach (HandoffPiece piece in _shape.Pieces)
        {
            for (int i = 0; i < piece.Layers.Length; i++)
            {
                int done = 0;
                for (int frame = piece.FirstFrame + i * piece.Granules; frame < piece.FirstFrame + (i + 1) * piece.Granules; frame++)
                    done += _due.Items[frame] || _atReceiver.Items[frame] ? 1 : 0;
                if (done != piece.Granules) return $"Layer {_shape.OwnLayer(piece.Layers[i])} has published {done} of {piece.Granules} granules.";
            }
        }

        return null;
    }

    private ulong Full(int granule) => Mask(KvSegment.TokensIn(granule, _shape.OwnTokens));

    private static ulong Mask(int tokens) => tokens >= 64 ? ulong.MaxValue : (1UL << tokens) - 1;
}

/// <summary>One bit per frame of a handoff, lowest first: what a receiver tells a sender that comes back.</summary>
internal static class LandedFrames
{
    internal static bool IsSet(ReadOnlySpan<byte> bits, int frame) => frame / 8 < bits.Length && (bits[frame / 8] >> (frame % 8) & 1) != 0;

    /// <summary>Whether the bits fit into a message; handoffs of more frames are not resumed.</summary>
    internal static bool Fits(int frames) => (frames + 7) / 8 <= Grant.MaxLandedBytes;

    internal static ByteValue Of(ReadOnlySpan<byte> frames, byte landed)
    {
        var bits = new byte[(frames.Length + 7) / 8];
        for (int i = 0; i < frames.Length; i++)
        {
            if (frames[i] == landed) bits[i / 8] |= (byte)(1 << (i % 8));
        }

        return bits;
    }
}
