using System.Buffers;
using System.Buffers.Binary;
using KvHandoff.Numerics;

namespace KvHandoff.Wire;

/// <summary>A control message and its bytes: header of 16 bytes (magic, version, type, flags, body length, CRC-32C), then the fields.</summary>
internal static class ControlCodec
{
    private const int CrcOffset = 12;

    public static void Encode(ControlMessage message, IBufferWriter<byte> output)
    {
        if (message.Check() is { } error) throw new ArgumentException(error.Message, nameof(message));
        var body = new ArrayBufferWriter<byte>();
        message.WriteFields(new FieldWriter(body));
        int most = MaxBodyBytes(message.Type);
        if (body.WrittenCount > most) throw new ArgumentException($"The body of a {message.Type} has {body.WrittenCount} bytes; allowed: at most {most}.", nameof(message));
        Span<byte> header = output.GetSpan(WireConstants.ControlHeaderBytes)[..WireConstants.ControlHeaderBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(header, WireConstants.ControlMagic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], WireConstants.Version);
        header[6] = (byte)message.Type;
        header[7] = 0;
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], body.WrittenCount);
        uint crc = Crc32C.Append(Crc32C.Compute(header[..CrcOffset]), body.WrittenSpan);
        BinaryPrimitives.WriteUInt32LittleEndian(header[CrcOffset..], crc);
        output.Advance(WireConstants.ControlHeaderBytes);
        output.Write(body.WrittenSpan);
    }

    /// <summary>Checks a header before anything of the body is buffered.</summary>
    /// <returns>Null, and the length of the body, when the header may stand; its checksum is checked with the body.</returns>
    public static WireError? TryReadHeader(ReadOnlySpan<byte> header, out int bodyBytes)
    {
        bodyBytes = 0;
        if (header.Length < WireConstants.ControlHeaderBytes) return WireError.Truncated("The control message header", header.Length, WireConstants.ControlHeaderBytes);
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(header);
        if (magic != WireConstants.ControlMagic) return WireError.Magic("The control message", magic, WireConstants.ControlMagic);
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(header[4..]);
        if (version != WireConstants.Version) return WireError.Version("The control message", version);
        var type = (ControlMessageType)header[6];
        if (type is < ControlMessageType.Hello or > ControlMessageType.Decision) return WireError.Value("Control message type", header[6], "1 to 15");
        if (header[7] != 0) return WireError.Value("Control message flags", header[7], "0");
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        int most = MaxBodyBytes(type);
        if (length > (uint)most) return new WireError(WireErrorCode.BadLength, $"The body of a {type} claims {length} bytes; allowed: at most {most}.");
        bodyBytes = (int)length;
        return null;
    }

    /// <summary>Reads exactly one message, header and body.</summary>
    public static WireError? TryRead(ReadOnlySpan<byte> source, out ControlMessage? message)
    {
        message = null;
        if (TryReadHeader(source, out int bodyBytes) is { } headerError) return headerError;
        ReadOnlySpan<byte> header = source[..WireConstants.ControlHeaderBytes], body = source[WireConstants.ControlHeaderBytes..];
        if (body.Length < bodyBytes) return WireError.Truncated("The control message body", body.Length, bodyBytes);
        if (body.Length > bodyBytes) return new WireError(WireErrorCode.BadLength, $"The control message has {body.Length} bytes of body; its header says {bodyBytes}.");
        uint crc = BinaryPrimitives.ReadUInt32LittleEndian(header[CrcOffset..]);
        uint computed = Crc32C.Append(Crc32C.Compute(header[..CrcOffset]), body);
        if (crc != computed) return WireError.Checksum("The control message", crc, computed);
        return TryReadBody((ControlMessageType)header[6], body, out message);
    }

    private static WireError? TryReadBody(ControlMessageType type, ReadOnlySpan<byte> body, out ControlMessage? message)
    {
        message = null;
        var fields = new FieldReader(body, type.ToString());
        ControlMessage? read = type switch
        {
            ControlMessageType.Hello => Hello.ReadFields(ref fields),
            ControlMessageType.Welcome => Welcome.ReadFields(ref fields),
            ControlMessageType.Offer => Offer.ReadFields(ref fields),
            ControlMessageType.Grant => Grant.ReadFields(ref fields),
            ControlMessageType.Reject => Reject.ReadFields(ref fields),
            ControlMessageType.Finish => Finish.ReadFields(ref fields),
            ControlMessageType.Committed => Committed.ReadFields(ref fields),
            ControlMessageType.Abort => Abort.ReadFields(ref fields),
            ControlMessageType.Renew => Renew.ReadFields(ref fields),
            ControlMessageType.Query => Query.ReadFields(ref fields),
            ControlMessageType.Outcome => Outcome.ReadFields(ref fields),
            ControlMessageType.Fault => Fault.ReadFields(ref fields),
            ControlMessageType.Released => Released.ReadFields(ref fields),
            ControlMessageType.Prepared => Prepared.ReadFields(ref fields),
            _ => Decision.ReadFields(ref fields),
        };
        if ((fields.End() ?? read.Check()) is { } error) return error;
        message = read;
        return null;
    }

    // Only a manifest grows with the host's data; the others are held far tighter than the format's limit.
    private static int MaxBodyBytes(ControlMessageType type) => type switch
    {
        ControlMessageType.Finish => WireConstants.MaxControlMessageBytes - WireConstants.ControlHeaderBytes,
        ControlMessageType.Grant => 4 << 20,
        _ => 1 << 18,
    };
}
