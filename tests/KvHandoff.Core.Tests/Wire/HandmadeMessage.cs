using System.Buffers.Binary;
using KvHandoff.Numerics;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Wire;

/// <summary>Control messages laid byte by byte, without the library's writer: with a right checksum around any contents.</summary>
internal static class HandmadeMessage
{
    public static byte[] Seal(ControlMessageType type, ReadOnlySpan<byte> body, uint? claimedLength = null)
    {
        var bytes = new byte[16 + body.Length];
        "KVHC"u8.CopyTo(bytes);
        bytes[4] = 1;
        bytes[6] = (byte)type;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), claimedLength ?? (uint)body.Length);
        body.CopyTo(bytes.AsSpan(16));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12), Crc32C.Compute([.. bytes[..12], .. body]));
        return bytes;
    }

    public static byte[] Field(int tag, ReadOnlySpan<byte> value, uint? claimedLength = null)
    {
        var bytes = new byte[6 + value.Length];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)tag);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(2), claimedLength ?? (uint)value.Length);
        value.CopyTo(bytes.AsSpan(6));
        return bytes;
    }

    public static List<(int Tag, byte[] Value)> Fields(ReadOnlySpan<byte> body)
    {
        List<(int, byte[])> fields = [];
        while (!body.IsEmpty)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(body[2..]);
            fields.Add((BinaryPrimitives.ReadUInt16LittleEndian(body), body.Slice(6, length).ToArray()));
            body = body[(6 + length)..];
        }

        return fields;
    }

    public static byte[] Body(IEnumerable<(int Tag, byte[] Value)> fields) => [.. fields.SelectMany(f => Field(f.Tag, f.Value))];
}
