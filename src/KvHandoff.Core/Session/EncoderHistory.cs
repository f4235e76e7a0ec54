namespace KvHandoff.Session;

/// <summary>
/// What the codec of one data connection remembers per (layer, segment) from one granule to the next. A layer's memory is forgotten when
/// another handoff comes to it.
/// </summary>
internal sealed class EncoderHistory
{
    private OutgoingHandoff?[] _owners = [];
    private byte[] _bytes = [];

    /// <summary>Whether a handoff's layers have room.</summary>
    internal bool Fits(HandoffShape shape) => shape.HistoryBytes == 0
        || (_owners.Length >= shape.Layout.LayerCount && _bytes.Length >= shape.Layout.LayerCount * shape.MaxSegments * shape.HistoryBytes);

    /// <summary>Makes room for a handoff's layers; allocates when they are more than before.</summary>
    internal void Prepare(HandoffShape shape)
    {
        if (shape.HistoryBytes == 0) return;
        int layers = shape.Layout.LayerCount, bytes = layers * shape.MaxSegments * shape.HistoryBytes;
        if (_owners.Length >= layers && _bytes.Length >= bytes) return;
        _owners = new OutgoingHandoff?[layers];
        _bytes = new byte[bytes];
    }

    internal Span<byte> Of(OutgoingHandoff handoff, int layer, int segment)
    {
        HandoffShape shape = handoff.Shape;
        int perSegment = shape.HistoryBytes, perLayer = shape.MaxSegments * perSegment;
        if (perSegment == 0) return default;
        if (!ReferenceEquals(_owners[layer], handoff))
        {
            _bytes.AsSpan(layer * perLayer, perLayer).Clear();
            _owners[layer] = handoff;
        }

        return _bytes.AsSpan(layer * perLayer + segment * perSegment, perSegment);
    }
}
