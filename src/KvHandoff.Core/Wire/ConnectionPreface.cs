using System.Buffers.Binary;
using KvHandoff.Numerics;

namespace KvHandoff.Wire;

/// <summary>What a connection carries.</summary>
public enum ConnectionKind : byte
{
    /// <summary>Control messages, both ways.</summary>
    Control = 1,

    /// <summary>Frames, from the sender to the receiver.</summary>
    Data = 2,
}

/// <summary>
/// The first <see cref="Bytes"/> bytes of every connection, written by the side that connects. A data connection proves with the
/// token of the Welcome that it belongs to a control connection.
/// </summary>
/// <param name="Kind">What the connection carries.</param>
/// <param name="StreamIndex">Data: 0 to 63, the number of the stream. Control: 0.</param>
/// <param name="Epoch">Data: the receiver's epoch, from the Welcome. Control: 0.</param>
/// <param name="ConnectionToken">Data: from the Welcome. Control: all zeros.</param>
public readonly record struct ConnectionPreface(ConnectionKind Kind, ushort StreamIndex, ulong Epoch, Guid ConnectionToken)
{
    /// <summary>Size on the wire.</summary>
    public const int Bytes = 48;

    /// <summary>The preface of a control connection.</summary>
    public static ConnectionPreface Control => new(ConnectionKind.Control, 0, 0, Guid.Empty);

    /// <summary>The preface of a data connection.</summary>
    public static ConnectionPreface Data(int streamIndex, ulong epoch, Guid connectionToken) =>
        new(ConnectionKind.Data, checked((ushort)streamIndex), epoch, connectionToken);

    /// <summary>Writes <see cref="Bytes"/> bytes.</summary>
    /// <exception cref="ArgumentException">The destination is too short or a field is out of range.</exception>
    public void Write(Span<byte> destination)
    {
        if (destination.Length < Bytes) throw new ArgumentException($"There is room for {destination.Length} bytes; a preface has {Bytes}.", nameof(destination));
        if (Check() is { } error) throw new ArgumentException(error.Message);
        destination = destination[..Bytes];
        destination.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(destination, WireConstants.PrefaceMagic);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[4..], WireConstants.Version);
        destination[6] = (byte)Kind;
        BinaryPrimitives.WriteUInt16LittleEndian(destination[8..], StreamIndex);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[16..], Epoch);
        ConnectionToken.TryWriteBytes(destination[24..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[44..], Crc32C.Compute(destination[..44]));
    }

    /// <summary>Reads the first <see cref="Bytes"/> bytes of <paramref name="source"/>; null when they are a preface.</summary>
    public static WireError? TryRead(ReadOnlySpan<byte> source, out ConnectionPreface preface)
    {
        preface = default;
        if (source.Length < Bytes) return WireError.Truncated("The connection preface", source.Length, Bytes);
        source = source[..Bytes];
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(source);
        if (magic != WireConstants.PrefaceMagic) return WireError.Magic("The connection", magic, WireConstants.PrefaceMagic);
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(source[4..]);
        if (version != WireConstants.Version) return WireError.Version("The connection preface", version);
        uint crc = BinaryPrimitives.ReadUInt32LittleEndian(source[44..]), computed = Crc32C.Compute(source[..44]);
        if (crc != computed) return WireError.Checksum("The connection preface", crc, computed);
        if (source[7] != 0 || source[10..16].ContainsAnyExcept((byte)0) || source[40..44].ContainsAnyExcept((byte)0))
            return WireError.Value("A reserved byte of the connection preface", "not zero", "0");
        var read = new ConnectionPreface((ConnectionKind)source[6], BinaryPrimitives.ReadUInt16LittleEndian(source[8..]),
            BinaryPrimitives.ReadUInt64LittleEndian(source[16..]), new Guid(source.Slice(24, 16), bigEndian: true));
        if (read.Check() is { } error) return error;
        preface = read;
        return null;
    }

    private WireError? Check()
    {
        if (Kind is not (ConnectionKind.Control or ConnectionKind.Data)) return WireError.Value("Connection kind", (byte)Kind, "1 or 2");
        if (Kind == ConnectionKind.Data) return WireError.Range("Stream index", StreamIndex, 0, WireConstants.MaxStreams - 1);
        return this == Control ? null
            : WireError.Value("A control connection's stream index, epoch and token", $"{StreamIndex}, {Epoch} and {ConnectionToken}", "zeros");
    }
}
