using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;

namespace KvHandoff.Wire;

/// <summary>
/// Reads the fields of a message body in ascending order. The first error sticks: later reads give defaults, and <see cref="End"/>
/// reports it. What is allocated never exceeds a small multiple of the bytes that came.
/// </summary>
internal ref struct FieldReader(ReadOnlySpan<byte> body, string what)
{
    private ReadOnlySpan<byte> _rest = body;
    private int _last;

    public WireError? Error { get; private set; }

    /// <summary>Whether field <paramref name="number"/> comes next, fields that are not required aside. For fields that may be left out.</summary>
    public bool Has(ushort number)
    {
        if (Error is not null) return false;
        FieldReader ahead = this;
        while (ahead.Next(out ushort tag, out _))
        {
            int found = tag & ~FieldWriter.RequiredBit;
            if (found >= number) return found == number;
            if (found != tag) return false;
        }

        return false;
    }

    public byte Byte(ushort number) => Fixed(number, 1, out ReadOnlySpan<byte> value) ? value[0] : (byte)0;

    public int Int32(ushort number) => Fixed(number, 4, out ReadOnlySpan<byte> value) ? BinaryPrimitives.ReadInt32LittleEndian(value) : 0;

    public uint UInt32(ushort number) => Fixed(number, 4, out ReadOnlySpan<byte> value) ? BinaryPrimitives.ReadUInt32LittleEndian(value) : 0;

    public long Int64(ushort number) => Fixed(number, 8, out ReadOnlySpan<byte> value) ? BinaryPrimitives.ReadInt64LittleEndian(value) : 0;

    public ulong UInt64(ushort number) => Fixed(number, 8, out ReadOnlySpan<byte> value) ? BinaryPrimitives.ReadUInt64LittleEndian(value) : 0;

    public double Double(ushort number) => Fixed(number, 8, out ReadOnlySpan<byte> value) ? BinaryPrimitives.ReadDoubleLittleEndian(value) : 0;

    public Guid Guid(ushort number) => Fixed(number, 16, out ReadOnlySpan<byte> value) ? new Guid(value, bigEndian: true) : default;

    /// <summary>Any bytes, at most <paramref name="most"/> of them.</summary>
    public ReadOnlySpan<byte> Bytes(ushort number, int most)
    {
        if (!Find(number, out ReadOnlySpan<byte> value)) return default;
        if (value.Length <= most) return value;
        Fail(WireErrorCode.BadLength, $"field {number} has {value.Length} bytes; allowed: at most {most}");
        return default;
    }

    /// <summary>A copy of a field that may be left out; empty when it is.</summary>
    public ByteValue OptionalBytes(ushort number, int most) => Has(number) ? Bytes(number, most).ToArray() : default(ByteValue);

    public string Text(ushort number)
    {
        ReadOnlySpan<byte> value = Bytes(number, WireConstants.MaxStringBytes);
        if (Error is not null) return "";
        if (Utf8.IsValid(value)) return Encoding.UTF8.GetString(value);
        Fail(WireErrorCode.BadValue, $"field {number} holds {value.Length} bytes that are not UTF-8; allowed: UTF-8");
        return "";
    }

    public ImmutableArray<int> Int32Array(ushort number, int most)
    {
        ReadOnlySpan<byte> value = Elements(number, sizeof(int), most);
        var result = new int[value.Length / sizeof(int)];
        if (BitConverter.IsLittleEndian) value.CopyTo(MemoryMarshal.AsBytes<int>(result));
        else for (int i = 0; i < result.Length; i++) result[i] = BinaryPrimitives.ReadInt32LittleEndian(value[(i * sizeof(int))..]);
        return ImmutableCollectionsMarshal.AsImmutableArray(result);
    }

    public ImmutableArray<long> Int64Array(ushort number, int most)
    {
        ReadOnlySpan<byte> value = Elements(number, sizeof(long), most);
        var result = new long[value.Length / sizeof(long)];
        for (int i = 0; i < result.Length; i++) result[i] = BinaryPrimitives.ReadInt64LittleEndian(value[(i * sizeof(long))..]);
        return ImmutableCollectionsMarshal.AsImmutableArray(result);
    }

    /// <summary>A field that is an array of <paramref name="elementBytes"/>-byte elements, at most <paramref name="most"/> of them.</summary>
    public ReadOnlySpan<byte> Elements(ushort number, int elementBytes, int most)
    {
        ReadOnlySpan<byte> value = Bytes(number, checked(most * elementBytes));
        if (value.Length % elementBytes == 0) return value;
        Fail(WireErrorCode.BadLength, $"field {number} has {value.Length} bytes; expected a multiple of {elementBytes}");
        return default;
    }

    /// <summary>Records that a field's content is wrong, unless an earlier error sticks.</summary>
    public void Fail(WireErrorCode code, string text) => Error ??= new WireError(code, $"{what}: {text}.");

    /// <summary>Passes over what follows the last known field and reports the first error.</summary>
    public WireError? End()
    {
        while (Error is null && Next(out ushort tag, out _)) RefuseIfRequired(tag);
        return Error;
    }

    private bool Fixed(ushort number, int bytes, out ReadOnlySpan<byte> value)
    {
        if (!Find(number, out value)) return false;
        if (value.Length == bytes) return true;
        Fail(WireErrorCode.BadLength, $"field {number} has {value.Length} bytes; expected {bytes}");
        return false;
    }

    private bool Find(ushort number, out ReadOnlySpan<byte> value)
    {
        while (Error is null)
        {
            ReadOnlySpan<byte> before = _rest;
            int last = _last;
            if (!Next(out ushort tag, out value)) break;
            int found = tag & ~FieldWriter.RequiredBit;
            if (found == number) return true;
            if (found > number)
            {
                _rest = before;
                _last = last;
                break;
            }

            RefuseIfRequired(tag);
        }

        value = default;
        Fail(WireErrorCode.MissingField, $"field {number} is missing");
        return false;
    }

    private bool Next(out ushort tag, out ReadOnlySpan<byte> value)
    {
        tag = 0;
        value = default;
        if (_rest.IsEmpty) return false;
        if (_rest.Length < FieldWriter.PrefixBytes)
        {
            Fail(WireErrorCode.BadLength, $"{_rest.Length} bytes are left; a field has at least {FieldWriter.PrefixBytes}");
            return false;
        }

        tag = BinaryPrimitives.ReadUInt16LittleEndian(_rest);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(_rest[2..]);
        int number = tag & ~FieldWriter.RequiredBit, room = _rest.Length - FieldWriter.PrefixBytes;
        if (number <= _last)
        {
            Fail(WireErrorCode.BadValue, $"field {number} follows field {_last}; allowed: ascending numbers from 1");
            return false;
        }

        if (length > (uint)room)
        {
            Fail(WireErrorCode.BadLength, $"field {number} claims {length} bytes; {room} are left");
            return false;
        }

        _last = number;
        value = _rest.Slice(FieldWriter.PrefixBytes, (int)length);
        _rest = _rest[(FieldWriter.PrefixBytes + (int)length)..];
        return true;
    }

    private void RefuseIfRequired(ushort tag)
    {
        if ((tag & FieldWriter.RequiredBit) != 0)
            Fail(WireErrorCode.UnknownRequiredField, $"field {tag & ~FieldWriter.RequiredBit} is required for understanding and not known to version {WireConstants.Version}");
    }
}
