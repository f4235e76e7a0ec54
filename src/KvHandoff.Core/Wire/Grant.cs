using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Layout;

namespace KvHandoff.Wire;

/// <summary>Room is reserved: the sender may send as many bytes as its credit.</summary>
/// <param name="HandoffId">The handoff.</param>
/// <param name="LeaseId">The reservation; every frame names it.</param>
/// <param name="LeaseMilliseconds">How long it lasts unless renewed, 0 to 30 days.</param>
/// <param name="SlotGenerations">Per layer group and granule: what a frame of that granule must carry. At most 16 x 32,768.</param>
/// <param name="CreditBytes">Payload bytes that the sender may have in flight, not negative.</param>
public sealed record Grant(
    Guid HandoffId, ulong LeaseId, long LeaseMilliseconds, ImmutableArray<ImmutableArray<uint>> SlotGenerations, long CreditBytes) : ControlMessage
{
    // One bit for each of 1,024 layers x 16,384 granules; what is longer is not resumed.
    internal const int MaxLandedBytes = 2 << 20;

    private const int MostNumbers = KvCacheLayout.MaxGroups * (1 + WireConstants.MaxGranules);

    /// <inheritdoc/>
    public override ControlMessageType Type => ControlMessageType.Grant;

    /// <summary>Tokens from the first on that the receiver has already, a multiple of 64: their granules are not sent.</summary>
    public int ReusedTokens { get; init; }

    /// <summary>
    /// What of a resumed handoff has landed: one bit per granule of every layer in the order of the sender's pieces, lowest bit first. Empty
    /// for a new handoff.
    /// </summary>
    public ByteValue Landed { get; init; }

    /// <summary>
    /// Per layer group the slots of the granted blocks, in the order of the sequence, and last the slot of the tail where there is one: for a
    /// sender that writes into the receiver's memory. Empty otherwise.
    /// </summary>
    public ImmutableArray<ImmutableArray<uint>> Slots { get; init; } = [];

    /// <inheritdoc/>
    public override WireError? Check()
    {
        ReadOnlySpan<ImmutableArray<uint>> groups = ArrayValue.Span(SlotGenerations);
        WireError? error = WireError.Range("Lease in milliseconds", LeaseMilliseconds, 0, WireConstants.MaxMilliseconds)
            ?? WireError.Range("Credit in bytes", CreditBytes, 0, long.MaxValue)
            ?? WireError.Range("Granted layer groups", groups.Length, 0, KvCacheLayout.MaxGroups);
        foreach (ImmutableArray<uint> group in groups)
            error ??= WireError.Range("Granted granules of a layer group", ArrayValue.Span(group).Length, 0, WireConstants.MaxGranules);
        error ??= WireError.Range("Reused tokens", ReusedTokens, 0, WireConstants.MaxTokens);
        return error ?? (ReusedTokens % KvSegment.GranuleTokens == 0 ? null : WireError.Value("Reused tokens", ReusedTokens, $"a multiple of {KvSegment.GranuleTokens}"));
    }

    /// <inheritdoc/>
    public bool Equals(Grant? other) =>
        other is not null && HandoffId == other.HandoffId && LeaseId == other.LeaseId && LeaseMilliseconds == other.LeaseMilliseconds
        && CreditBytes == other.CreditBytes && ArrayValue.Equal(SlotGenerations, other.SlotGenerations)
        && ReusedTokens == other.ReusedTokens && Landed == other.Landed && ArrayValue.Equal(Slots, other.Slots);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(HandoffId, LeaseId, LeaseMilliseconds, CreditBytes);

    internal override void WriteFields(FieldWriter fields)
    {
        fields.Guid(1, HandoffId);
        fields.UInt64(2, LeaseId);
        fields.Int64(3, LeaseMilliseconds);
        WriteGroups(fields, 4, SlotGenerations);
        fields.Int64(5, CreditBytes);
        // What is left out of a grant was not asked for in the offer, or there is none of it.
        if (ReusedTokens != 0) fields.Int32(6, ReusedTokens);
        if (!Landed.IsEmpty) fields.Bytes(7, Landed.Span);
        if (!Slots.IsDefaultOrEmpty) WriteGroups(fields, 8, Slots);
    }

    internal static ControlMessage ReadFields(ref FieldReader fields) =>
        new Grant(fields.Guid(1), fields.UInt64(2), fields.Int64(3), ReadGroups(ref fields, 4, MostNumbers), fields.Int64(5))
        {
            ReusedTokens = fields.Has(6) ? fields.Int32(6) : 0,
            Landed = fields.OptionalBytes(7, MaxLandedBytes),
            Slots = fields.Has(8) ? ReadGroups(ref fields, 8, MostNumbers) : [],
        };

    // A count u32 per group and as many numbers u32.
    private static void WriteGroups(FieldWriter fields, ushort number, ImmutableArray<ImmutableArray<uint>> value)
    {
        ReadOnlySpan<ImmutableArray<uint>> groups = ArrayValue.Span(value);
        int bytes = 0;
        foreach (ImmutableArray<uint> group in groups) bytes += sizeof(uint) * (1 + ArrayValue.Span(group).Length);
        Span<byte> rest = fields.Begin(number, bytes);
        foreach (ImmutableArray<uint> group in groups)
        {
            ReadOnlySpan<uint> generations = ArrayValue.Span(group);
            BinaryPrimitives.WriteInt32LittleEndian(rest, generations.Length);
            rest = rest[sizeof(uint)..];
            foreach (uint generation in generations)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(rest, generation);
                rest = rest[sizeof(uint)..];
            }
        }
    }

    private static ImmutableArray<ImmutableArray<uint>> ReadGroups(ref FieldReader fields, ushort number, int most)
    {
        ReadOnlySpan<byte> rest = fields.Elements(number, sizeof(uint), most);
        ImmutableArray<ImmutableArray<uint>>.Builder groups = ImmutableArray.CreateBuilder<ImmutableArray<uint>>();
        while (!rest.IsEmpty)
        {
            uint count = BinaryPrimitives.ReadUInt32LittleEndian(rest);
            rest = rest[sizeof(uint)..];
            int left = rest.Length / sizeof(uint);
            if (groups.Count == KvCacheLayout.MaxGroups || count > (uint)left)
            {
                fields.Fail(WireErrorCode.BadLength, $"layer group {groups.Count} of field {number} claims {count} numbers; {left} are left, and a layout has at most {KvCacheLayout.MaxGroups} groups");
                return [];
            }

            var generations = new uint[count];
            for (int i = 0; i < generations.Length; i++) generations[i] = BinaryPrimitives.ReadUInt32LittleEndian(rest[(i * sizeof(uint))..]);
            groups.Add(ImmutableCollectionsMarshal.AsImmutableArray(generations));
            rest = rest[(generations.Length * sizeof(uint))..];
        }

        return groups.ToImmutable();
    }
}
