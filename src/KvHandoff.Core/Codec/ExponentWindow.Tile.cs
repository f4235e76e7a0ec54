using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    const byte HasHistory = 1;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static int EncodeTile(ReadOnlySpan<byte> source, in TileRows rows, Span<byte> history, Span<byte> encoded)
    {
        int bytes = IsConstant(source, rows) ? EncodeConstant(source, encoded) : EncodeWindow(source, rows, history, encoded);
        if (bytes > ConstantBytes) return bytes;
        // A base that served a constant or a raw tile says nothing of the next one.
        if (!history.IsEmpty) history[^1] = 0;
        return bytes == ConstantBytes ? bytes : EncodeRaw(source, rows, encoded);
    }

    static int EncodeConstant(ReadOnlySpan<byte> source, Span<byte> encoded)
    {
        encoded[0] = ConstantKind;
        source[..sizeof(ushort)].CopyTo(encoded[1..]);
        return ConstantBytes;
    }

    static int EncodeRaw(ReadOnlySpan<byte> source, in TileRows rows, Span<byte> encoded)
    {
        encoded[0] = RawKind;
        Span<byte> destination = encoded[1..];
        for (int token = 0; token < rows.Tokens; token++)
            source.Slice(token * rows.StrideBytes, rows.RawRowBytes).CopyTo(destination[(token * rows.RawRowBytes)..]);
        return 1 + rows.RawBytes;
    }

    /// <summary>Bytes of the window tile, or 0 where it would not be smaller than the raw one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static int EncodeWindow(ReadOnlySpan<byte> source, in TileRows rows, Span<byte> history, Span<byte> encoded)
    {
        if (rows.EscapeLimit <= 0) return 0;
        Span<byte> bases = encoded.Slice(WindowHeaderBytes, rows.Dim);
        Span<byte> unwanted = stackalloc byte[history.IsEmpty ? rows.Dim : 0];
        Span<byte> largest = history.IsEmpty ? unwanted : history[..^1];
        if (!history.IsEmpty && history[^1] == HasHistory) largest.CopyTo(bases);
        else SampleBases(source, rows, bases);
        largest.Clear();

        int escapes = EncodeRows(source, rows, largest, encoded);
        if (escapes >= rows.EscapeLimit) return 0;
        if (!history.IsEmpty) history[^1] = HasHistory;
        BinaryPrimitives.WriteUInt32LittleEndian(encoded, WindowKind);
        BinaryPrimitives.WriteUInt32LittleEndian(encoded[EscapeCountOffset..], (uint)escapes);
        return rows.EscapeOffset + escapes;
    }

    // The row within its step moves on by one each time, so that data with a period of the step is not always met at the same phase.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void SampleBases(ReadOnlySpan<byte> source, in TileRows rows, Span<byte> bases)
    {
        bases.Clear();
        for (int first = 0, phase = 0; first < rows.Tokens; first += SampleStep, phase++)
        {
            int token = Math.Min(first + phase % SampleStep, rows.Tokens - 1);
            Raise(source.Slice(token * rows.StrideBytes, rows.RawRowBytes), bases);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static bool IsConstant(ReadOnlySpan<byte> source, in TileRows rows)
    {
        ushort first = MemoryMarshal.Read<ushort>(source);
        int last = (rows.Tokens - 1) * rows.StrideBytes + rows.RawRowBytes - sizeof(ushort);
        if (MemoryMarshal.Read<ushort>(source[last..]) != first) return false;
        for (int token = 0; token < rows.Tokens; token++)
        {
            ReadOnlySpan<byte> row = source.Slice(token * rows.StrideBytes, rows.RawRowBytes);
            if (MemoryMarshal.Cast<byte, ushort>(row).ContainsAnyExcept(first)) return false;
        }

        return true;
    }

    static void CopyToRows(ReadOnlySpan<byte> source, in TileRows rows, Span<byte> destination)
    {
        for (int token = 0; token < rows.Tokens; token++)
            source.Slice(token * rows.RawRowBytes, rows.RawRowBytes).CopyTo(destination[(token * rows.StrideBytes)..]);
    }

    static void FillRows(ushort value, in TileRows rows, Span<byte> destination)
    {
        if (!BitConverter.IsLittleEndian) value = BinaryPrimitives.ReverseEndianness(value);
        for (int token = 0; token < rows.Tokens; token++)
            MemoryMarshal.Cast<byte, ushort>(destination.Slice(token * rows.StrideBytes, rows.RawRowBytes)).Fill(value);
    }
}
