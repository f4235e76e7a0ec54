using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Session;

/// <summary>
/// A box of rows that one sender hands to one receiver, in the numbers of the whole model and sequence. Every granule of every layer of it is
/// one frame, and has a number of its own among all frames of the pair: what has landed is kept under that number.
/// </summary>
internal sealed class HandoffPiece
{
    private readonly int[] _places;

    /// <param name="transfer">Index of the layer group among the plan's transfers.</param>
    /// <param name="piece">The box.</param>
    /// <param name="layout">The whole model's layout.</param>
    /// <param name="firstFrame">Number of the piece's first frame.</param>
    internal HandoffPiece(int transfer, in ShardPiece piece, KvCacheLayout layout, int firstFrame)
    {
        Transfer = transfer;
        Heads = piece.KvHeads;
        Layers = [.. piece.LayersIn(layout)];
        FirstGranule = piece.Tokens.Start / KvSegment.GranuleTokens;
        Granules = KvSegment.GranuleCount(piece.Tokens.Count);
        FirstFrame = firstFrame;
        _places = new int[layout.LayerCount];
        Array.Fill(_places, -1);
        for (int i = 0; i < Layers.Length; i++) _places[Layers[i]] = i;
    }

    internal int Transfer { get; }

    internal IndexRange Heads { get; }

    internal ImmutableArray<int> Layers { get; }

    internal int FirstGranule { get; }

    internal int Granules { get; }

    internal int FirstFrame { get; }

    internal int Frames => Layers.Length * Granules;

    internal bool HasLayer(int layer) => (uint)layer < (uint)_places.Length && _places[layer] >= 0;

    internal bool Has(int layer, int granule) => HasLayer(layer) && granule >= FirstGranule && granule - FirstGranule < Granules;

    /// <summary>Number of the frame; the piece must have it.</summary>
    internal int FrameOf(int layer, int granule) => FirstFrame + _places[layer] * Granules + granule - FirstGranule;

    /// <summary>Layer and granule of a frame of the piece.</summary>
    internal (int Layer, int Granule) Locate(int frame)
    {
        (int place, int granule) = Math.DivRem(frame - FirstFrame, Granules);
        return (Layers[place], FirstGranule + granule);
    }
}
