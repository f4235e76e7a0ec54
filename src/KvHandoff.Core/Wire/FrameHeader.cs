using System.Buffers.Binary;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Wire;

/// <summary>
/// The fixed header of a frame: one granule of a range of kv heads of one layer. A segment table of <see cref="TableBytes"/> bytes and
/// a payload of <see cref="PayloadBytes"/> bytes follow; segments lie head by head, K before V.
/// </summary>
public readonly record struct FrameHeader
{
    /// <summary>Size on the wire.</summary>
    public const int Bytes = 96;

    private const int CrcOffset = 92;

    /// <summary>How the segments are encoded.</summary>
    public required CodecId Codec { get; init; }

    /// <summary>What the encoder met in any segment of the frame.</summary>
    public CodecFlags Flags { get; init; }

    /// <summary>
    /// Whether the rows were written into the granted blocks, so that no payload follows: <see cref="PayloadBytes"/> then counts the bytes
    /// that lie there. Only where the Grant named slots.
    /// </summary>
    public bool IsPlaced { get; init; }

    /// <summary>Type of the decoded elements.</summary>
    public required ElementType ElementType { get; init; }

    /// <summary>2 for K and V, 1 for a latent.</summary>
    public required int Planes { get; init; }

    /// <summary>Tokens of the granule, 1 to 64.</summary>
    public required int Tokens { get; init; }

    /// <summary>Elements per row, 1 to 4096.</summary>
    public required int HeadDim { get; init; }

    /// <summary>First kv head of the frame.</summary>
    public required int FirstHead { get; init; }

    /// <summary>Kv heads of the frame; <see cref="FirstHead"/> + <see cref="HeadCount"/> is at most 1024.</summary>
    public required int HeadCount { get; init; }

    /// <summary>Model layer, 0 to 1023.</summary>
    public required int Layer { get; init; }

    /// <summary>Granule, counted from position 0 of the sequence.</summary>
    public required int Granule { get; init; }

    /// <summary>Number of the frame on its connection, from 0, wrapping.</summary>
    public required uint Sequence { get; init; }

    /// <summary>The handoff.</summary>
    public required Guid HandoffId { get; init; }

    /// <summary>The receiver's epoch, from the Welcome.</summary>
    public required ulong Epoch { get; init; }

    /// <summary>The lease, from the Grant.</summary>
    public required ulong LeaseId { get; init; }

    /// <summary>Generation of the granule's slot, from the Grant.</summary>
    public required uint SlotGeneration { get; init; }

    /// <summary>Bytes of the payload, at most 64 MiB.</summary>
    public required int PayloadBytes { get; init; }

    /// <summary>CRC-32C of the segment table, as <see cref="SegmentTable.Write"/> returns it.</summary>
    public required uint TableCrc { get; init; }

    /// <summary>Segments of the frame.</summary>
    public int SegmentCount => HeadCount * Planes;

    /// <summary>Bytes of the segment table.</summary>
    public int TableBytes => SegmentCount * SegmentEntry.Bytes;

    /// <summary>Shape of every segment of the frame.</summary>
    public SegmentShape Shape => new(Tokens, HeadDim, ElementType);

    /// <summary>Writes <see cref="Bytes"/> bytes.</summary>
    /// <exception cref="ArgumentException">The destination is too short or a field is out of range.</exception>
    public void Write(Span<byte> destination)
    {
        if (destination.Length < Bytes) throw new ArgumentException($"There is room for {destination.Length} bytes; a frame header has {Bytes}.", nameof(destination));
        if (Check() is { } error) throw new ArgumentException(error.Message);
        destination = destination[..Bytes];
        destination.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(destination, WireConstants.FrameMagic);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[4..], WireConstants.Version);
        destination[6] = (byte)Codec;
        destination[7] = (byte)Flags;
        destination[8] = (byte)ElementType;
        destination[9] = (byte)Planes;
        destination[10] = (byte)Tokens;
        destination[11] = IsPlaced ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt16LittleEndian(destination[12..], (ushort)HeadDim);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[14..], (ushort)FirstHead);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[16..], (ushort)HeadCount);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[20..], (uint)Layer);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[24..], (uint)Granule);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[28..], Sequence);
        HandoffId.TryWriteBytes(destination[32..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[48..], Epoch);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[56..], LeaseId);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[64..], SlotGeneration);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[68..], (uint)PayloadBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[72..], TableCrc);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[CrcOffset..], Crc32C.Compute(destination[..CrcOffset]));
    }

    /// <summary>Reads the first <see cref="Bytes"/> bytes of <paramref name="source"/>; null when every field is in range and consistent.</summary>
    public static WireError? TryRead(ReadOnlySpan<byte> source, out FrameHeader header)
    {
        header = default;
        if (source.Length < Bytes) return WireError.Truncated("The frame header", source.Length, Bytes);
        source = source[..Bytes];
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(source);
        if (magic != WireConstants.FrameMagic) return WireError.Magic("The frame", magic, WireConstants.FrameMagic);
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(source[4..]);
        if (version != WireConstants.Version) return WireError.Version("The frame", version);
        uint crc = BinaryPrimitives.ReadUInt32LittleEndian(source[CrcOffset..]), computed = Crc32C.Compute(source[..CrcOffset]);
        if (crc != computed) return WireError.Checksum("The frame header", crc, computed);
        if (source[11] > 1) return WireError.Value("Placement of the frame", source[11], "0 or 1");
        if ((BinaryPrimitives.ReadUInt16LittleEndian(source[18..]) != 0) || source[76..CrcOffset].ContainsAnyExcept((byte)0))
            return WireError.Value("A reserved byte of the frame header", "not zero", "0");
        var read = new FrameHeader
        {
            Codec = (CodecId)source[6],
            Flags = (CodecFlags)source[7],
            ElementType = (ElementType)source[8],
            Planes = source[9],
            Tokens = source[10],
            IsPlaced = source[11] != 0,
            HeadDim = BinaryPrimitives.ReadUInt16LittleEndian(source[12..]),
            FirstHead = BinaryPrimitives.ReadUInt16LittleEndian(source[14..]),
            HeadCount = BinaryPrimitives.ReadUInt16LittleEndian(source[16..]),
            // Values above 2^31 turn negative here, which the range checks refuse.
            Layer = BinaryPrimitives.ReadInt32LittleEndian(source[20..]),
            Granule = BinaryPrimitives.ReadInt32LittleEndian(source[24..]),
            Sequence = BinaryPrimitives.ReadUInt32LittleEndian(source[28..]),
            HandoffId = new Guid(source.Slice(32, 16), bigEndian: true),
            Epoch = BinaryPrimitives.ReadUInt64LittleEndian(source[48..]),
            LeaseId = BinaryPrimitives.ReadUInt64LittleEndian(source[56..]),
            SlotGeneration = BinaryPrimitives.ReadUInt32LittleEndian(source[64..]),
            PayloadBytes = BinaryPrimitives.ReadInt32LittleEndian(source[68..]),
            TableCrc = BinaryPrimitives.ReadUInt32LittleEndian(source[72..]),
        };
        if (read.Check() is { } error) return error;
        header = read;
        return null;
    }

    /// <summary>Fewest and most bytes that a segment of this shape and codec can have, K or V. The codec must be known.</summary>
    internal (int Least, int Most) SegmentBounds()
    {
        if (!KvCodecs.TryGet(Codec, out IKvCodec? codec)) return (1, StoredSegment.MaxEncodedBytes(Tokens, HeadDim));
        int most = Math.Max(codec.MaxEncodedBytes(Shape), codec.MaxEncodedBytes(Shape with { Plane = KvPlane.Value }));
        return (codec.IsIdentity ? most : 1, most);
    }

    /// <summary>Null when every field is in range and the payload's size fits the shape and the codec.</summary>
    public WireError? Check()
    {
        IKvCodec? codec = null;
        if (Codec != CodecId.Stored && !KvCodecs.TryGet(Codec, out codec)) return WireError.Value("Codec", (byte)Codec, $"0 to {(byte)CodecId.Stored}");
        if ((Flags & ~(CodecFlags.HadNaN | CodecFlags.HadInfinity)) != 0) return WireError.Value("Codec flags", (byte)Flags, "0 to 3");
        if (!ElementType.IsDefined()) return WireError.Value("Element type", (byte)ElementType, "1 to 6");
        bool taken = codec is null ? ElementType.SizeBytes() == 1 : codec.Supports(ElementType);
        if (!taken) return WireError.Value("Element type", ElementType, $"what codec {Codec} takes");
        if ((WireError.Range("Planes", Planes, 1, 2)
            ?? WireError.Range("Tokens of a granule", Tokens, 1, KvSegment.GranuleTokens)
            ?? WireError.Range("Head dimension", HeadDim, 1, LayerGroup.MaxHeadDim)
            ?? WireError.Range("Head count", HeadCount, 1, LayerGroup.MaxKvHeads)
            ?? WireError.Range("First head", FirstHead, 0, LayerGroup.MaxKvHeads - HeadCount)
            ?? WireError.Range("Layer", Layer, 0, LayerGroup.MaxLayers - 1)
            ?? WireError.Range("Granule", Granule, 0, WireConstants.MaxGranules - 1)) is { } error) return error;
        (int leastSegment, int mostSegment) = SegmentBounds();
        long most = (long)SegmentCount * mostSegment, least = (long)SegmentCount * leastSegment;
        if (PayloadBytes < least || PayloadBytes > Math.Min(most, WireConstants.MaxFramePayloadBytes))
        {
            return new WireError(WireErrorCode.BadLength,
                $"The payload has {PayloadBytes} bytes; {SegmentCount} segments of {Tokens} x {HeadDim} {ElementType} in codec {Codec} have {least} to {most}, and a frame at most {WireConstants.MaxFramePayloadBytes}.");
        }

        return null;
    }
}
