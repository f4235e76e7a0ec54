using System.Buffers.Binary;

namespace KvHandoff.Transport;

/// <summary>What an active message of a connection is.</summary>
internal enum UcxMessageKind : uint
{
    /// <summary>Bytes of the stream; the value is their place in it.</summary>
    Bytes = 1,

    /// <summary>The value is how many bytes were taken out of the window so far.</summary>
    Credit = 2,

    /// <summary>The stream ends after so many bytes.</summary>
    End = 3,

    /// <summary>All of an ended stream is here.</summary>
    EndSeen = 4,

    /// <summary>The sender of this gives up.</summary>
    Reset = 5,
}

/// <summary>The header of every active message: the kind u32, four zeros, the value u64, little-endian.</summary>
internal static class UcxMessage
{
    internal const int HeaderBytes = 16;

    internal static void Write(Span<byte> header, UcxMessageKind kind, long value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)kind);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], 0);
        BinaryPrimitives.WriteInt64LittleEndian(header[8..], value);
    }

    /// <summary>False when the bytes are no header.</summary>
    internal static bool TryRead(ReadOnlySpan<byte> header, out UcxMessageKind kind, out long value)
    {
        kind = 0;
        value = 0;
        if (header.Length != HeaderBytes) return false;
        kind = (UcxMessageKind)BinaryPrimitives.ReadUInt32LittleEndian(header);
        value = BinaryPrimitives.ReadInt64LittleEndian(header[8..]);
        return kind is >= UcxMessageKind.Bytes and <= UcxMessageKind.Reset && value >= 0;
    }
}
