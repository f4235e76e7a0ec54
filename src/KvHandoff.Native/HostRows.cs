using KvHandoff.Numerics;

namespace KvHandoff.Native;

/// <summary>Rows of the host with their codes and scales, and the parts of them that a kernel's spans can count.</summary>
readonly unsafe struct HostRows
{
    // A kernel counts bytes in an int.
    const long MostBytes = 1 << 30;

    readonly byte* _rows, _codes, _scales;
    readonly int _first, _all;

    /// <summary>Reads and checks the host's description.</summary>
    internal HostRows(KvhRows* shape, void* rows, byte* codes, void* scales)
    {
        KvhRows s = HostStructs.Read(shape);
        Element = (ElementType)HostStructs.RequireEnum(s.Element == 0 ? (int)ElementType.BFloat16 : s.Element, 1, 3, "element");
        Code = (ElementType)HostStructs.RequireEnum(s.Code, (int)ElementType.Fp8E4M3, (int)ElementType.Int8, "code");
        ScaleType = (ScaleType)HostStructs.RequireEnum(s.ScaleType == 0 ? 1 : s.ScaleType, 1, 2, "scale_type");
        Length = HostStructs.RequireRange(s.RowLength, 1, 1 << 20, "row_length");
        int rowBytes = Length * Element.SizeBytes();
        Stride = HostStructs.RequireRange(s.StrideBytes == 0 ? rowBytes : s.StrideBytes, rowBytes, MostBytes, "stride_bytes");
        _all = Count = HostStructs.RequireRange(s.Rows, 0, int.MaxValue, "rows");
        _rows = (byte*)rows;
        _codes = codes;
        _scales = (byte*)scales;
        if (_all == 0) return;
        HostStructs.RequireNotNull(rows);
        HostStructs.RequireNotNull(codes);
        HostStructs.RequireNotNull(scales);
    }

    HostRows(in HostRows whole, int first)
    {
        this = whole;
        _first = first;
        Count = (int)Math.Min(_all - first, Math.Max(1, MostBytes / Stride));
    }

    internal ElementType Element { get; }

    internal ElementType Code { get; }

    internal ScaleType ScaleType { get; }

    /// <summary>Elements of a row.</summary>
    internal int Length { get; }

    /// <summary>Bytes from row to row.</summary>
    internal int Stride { get; }

    /// <summary>Rows of this part.</summary>
    internal int Count { get; }

    /// <summary>From the first row's start to the last row's end.</summary>
    internal Span<byte> Bytes => new(_rows + (long)_first * Stride, (Count - 1) * Stride + Length * Element.SizeBytes());

    internal Span<byte> Codes => new(_codes + (long)_first * Length, Count * Length);

    internal Span<float> ScalesPerRow => new((float*)_scales + _first, Count);

    internal Span<float> ScalesPerChannel => new(_scales, _all == 0 ? 0 : Length);

    internal Span<byte> GroupScales => new(_scales + (long)_first * MxPacking.GroupsPerRow(Length), Count * MxPacking.GroupsPerRow(Length));

    internal HostRows First() => new(this, 0);

    internal HostRows After(in HostRows part) => new(this, part._first + part.Count);
}
