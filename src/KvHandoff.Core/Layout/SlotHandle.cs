namespace KvHandoff.Layout;

/// <summary>
/// A slot of a pool as it was granted: its index and the generation at that time. A slot's generation changes when it is freed, so
/// a late writer that still holds the old handle can be told from the new owner.
/// </summary>
public readonly record struct SlotHandle(int Slot, uint Generation)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Slot}@{Generation}";
}
