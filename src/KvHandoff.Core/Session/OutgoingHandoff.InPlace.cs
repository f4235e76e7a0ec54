using KvHandoff.Layout;

namespace KvHandoff.Session;

/// <summary>Writes rows of one layer where they are to lie. The view is of the receiver's blocks and must not be kept.</summary>
public delegate void RowWriter(KvLayerView target);

// Rows that prefill writes into the receiver's blocks by itself.
public sealed partial class OutgoingHandoff
{
    /// <summary>Writes rows of one layer into the receiver's blocks, converting from fp32 as <see cref="KvSequence.WriteRows"/> does.</summary>
    /// <returns>False, and nothing written, once the handoff has ended.</returns>
    /// <exception cref="InvalidOperationException">The handoff was not offered with <see cref="KvSender.OfferInPlaceAsync"/>.</exception>
    public bool WriteRows(int layer, int start, ReadOnlySpan<float> keys, ReadOnlySpan<float> values)
    {
        if (!TryEnterWindow(out KvSequence window)) return false;
        try
        {
            window.WriteRows(layer, start, keys, values);
            return true;
        }
        finally
        {
            LeaveWindow();
        }
    }

    /// <summary>Lets <paramref name="writer"/> write rows of one layer into the receiver's blocks. The blocks stay the handoff's until it has returned.</summary>
    /// <returns>False, and the writer not called, once the handoff has ended.</returns>
    /// <exception cref="InvalidOperationException">The handoff was not offered with <see cref="KvSender.OfferInPlaceAsync"/>.</exception>
    public bool Write(int layer, RowWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        if (!TryEnterWindow(out KvSequence window)) return false;
        try
        {
            writer(window.View(layer, TotalTokens));
            return true;
        }
        finally
        {
            LeaveWindow();
        }
    }

    // The host's thread writes here, of which a link that ends knows nothing: it must not unmap the blocks under it.
    private bool TryEnterWindow(out KvSequence window)
    {
        window = IsInPlace && Window is { } mapped ? mapped
            : throw new InvalidOperationException($"Handoff {Id} sends rows of a sequence; offer it in place to write them at the receiver.");
        if (!Use.TryEnter()) return false;
        if (_link.TryHoldWindow()) return true;
        Use.Exit();
        return false;
    }

    private void LeaveWindow()
    {
        _link.ReleaseWindow();
        Use.Exit();
    }
}
