using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;

namespace KvHandoff.Wire;

/// <summary>
/// Writes the fields of a message body: tag u16, length u32, bytes. Numbers must ascend. A field is written with
/// <see cref="RequiredBit"/> unless the writer was made for fields that a reader may skip.
/// </summary>
internal readonly struct FieldWriter(IBufferWriter<byte> output, bool required = true)
{
    /// <summary>A reader that does not know the field must refuse the message.</summary>
    public const ushort RequiredBit = 0x8000;

    /// <summary>Bytes before a field's value.</summary>
    public const int PrefixBytes = 6;

    /// <summary>Writes to the same body, without the required bit.</summary>
    public FieldWriter Optional => new(output, required: false);

    public void Byte(ushort number, byte value) => Begin(number, 1)[0] = value;

    public void Int32(ushort number, int value) => BinaryPrimitives.WriteInt32LittleEndian(Begin(number, 4), value);

    public void UInt32(ushort number, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Begin(number, 4), value);

    public void Int64(ushort number, long value) => BinaryPrimitives.WriteInt64LittleEndian(Begin(number, 8), value);

    public void UInt64(ushort number, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Begin(number, 8), value);

    public void Double(ushort number, double value) => BinaryPrimitives.WriteDoubleLittleEndian(Begin(number, 8), value);

    /// <summary>16 bytes in the order in which the identifier is printed (RFC 9562).</summary>
    public void Guid(ushort number, Guid value) => value.TryWriteBytes(Begin(number, 16), bigEndian: true, out _);

    public void Bytes(ushort number, ReadOnlySpan<byte> value) => value.CopyTo(Begin(number, value.Length));

    public void Int32Array(ushort number, ReadOnlySpan<int> values)
    {
        Span<byte> destination = Begin(number, checked(values.Length * sizeof(int)));
        if (BitConverter.IsLittleEndian)
        {
            MemoryMarshal.AsBytes(values).CopyTo(destination);
            return;
        }

        for (int i = 0; i < values.Length; i++) BinaryPrimitives.WriteInt32LittleEndian(destination[(i * sizeof(int))..], values[i]);
    }

    public void Int64Array(ushort number, ReadOnlySpan<long> values)
    {
        Span<byte> destination = Begin(number, checked(values.Length * sizeof(long)));
        for (int i = 0; i < values.Length; i++) BinaryPrimitives.WriteInt64LittleEndian(destination[(i * sizeof(long))..], values[i]);
    }

    /// <summary>A name or an identifier, which must arrive whole.</summary>
    /// <exception cref="ArgumentException">The text is longer than <see cref="WireConstants.MaxStringBytes"/>.</exception>
    public void Text(ushort number, string value)
    {
        int bytes = Encoding.UTF8.GetByteCount(value);
        if (bytes > WireConstants.MaxStringBytes)
            throw new ArgumentException($"Field {number} has {bytes} bytes of text; allowed: at most {WireConstants.MaxStringBytes}.", nameof(value));
        Encoding.UTF8.GetBytes(value, Begin(number, bytes));
    }

    /// <summary>An explanation for people, cut where it is too long: an error must not fail because of its text.</summary>
    public void Explanation(ushort number, string value)
    {
        Span<byte> utf8 = stackalloc byte[WireConstants.MaxStringBytes];
        Utf8.FromUtf16(value, utf8, out _, out int written);
        Bytes(number, utf8[..written]);
    }

    /// <summary>Room for a field's value, which the caller fills entirely.</summary>
    public Span<byte> Begin(ushort number, int bytes)
    {
        Span<byte> span = output.GetSpan(PrefixBytes + bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(span, (ushort)(required ? number | RequiredBit : number));
        BinaryPrimitives.WriteInt32LittleEndian(span[2..], bytes);
        output.Advance(PrefixBytes + bytes);
        return span.Slice(PrefixBytes, bytes);
    }
}
