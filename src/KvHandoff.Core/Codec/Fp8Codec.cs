using System.Buffers.Binary;
using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>
/// FP8 E4M3 with one scale per row: <c>[Tokens][HeadDim]</c> codes, then <c>[Tokens]</c> fp32 scales, little-endian. A segment is
/// one head, so a row's scale is that of a (token, head). The arithmetic is that of <see cref="Fp8Packing"/>.
/// </summary>
public sealed class Fp8Codec : IKvCodec
{
    private const uint LargestFiniteBits = 0x7F7F_FFFF;

    /// <inheritdoc/>
    public CodecId Id => CodecId.Fp8E4M3;

    /// <inheritdoc/>
    public string Name => "fp8";

    /// <inheritdoc/>
    public bool IsLossy => true;

    /// <inheritdoc/>
    public bool IsIdentity => false;

    /// <inheritdoc/>
    public bool Supports(ElementType elementType) => elementType is ElementType.BFloat16 or ElementType.Float32 or ElementType.Float16;

    /// <inheritdoc/>
    public int MaxEncodedBytes(in SegmentShape shape)
    {
        CodecArguments.CheckShape(this, shape);
        return EncodedBytes(shape);
    }

    /// <inheritdoc/>
    public int Encode(in SegmentShape shape, ReadOnlySpan<byte> rows, Span<byte> encoded, out CodecFlags flags)
    {
        int bytes = MaxEncodedBytes(shape);
        CodecArguments.CheckSpans(rows.Length, shape.RowsBytes, encoded.Length, bytes);
        Span<Fp8E4M3> codes = MemoryMarshal.Cast<byte, Fp8E4M3>(encoded[..shape.Elements]);
        // The codes may end off a multiple of four, so the scales are packed beside them first.
        Span<float> scales = stackalloc float[KvSegment.GranuleTokens];
        scales = scales[..shape.Tokens];
        PackFlags met = shape.ElementType switch
        {
            ElementType.BFloat16 => Fp8Packing.PackRows(MemoryMarshal.Cast<byte, BFloat16>(rows), shape.HeadDim, codes, scales),
            ElementType.Float32 => Fp8Packing.PackRows(MemoryMarshal.Cast<byte, float>(rows), shape.HeadDim, codes, scales),
            _ => PackHalfRows(MemoryMarshal.Cast<byte, Half>(rows), shape.HeadDim, codes, scales),
        };
        Span<byte> scaleBytes = encoded[shape.Elements..bytes];
        for (int token = 0; token < shape.Tokens; token++)
            BinaryPrimitives.WriteSingleLittleEndian(scaleBytes[(token * sizeof(float))..], scales[token]);
        flags = ((met & PackFlags.HadNaN) != 0 ? CodecFlags.HadNaN : CodecFlags.None)
            | ((met & PackFlags.HadInfinity) != 0 ? CodecFlags.HadInfinity : CodecFlags.None);
        return bytes;
    }

    /// <inheritdoc/>
    public bool TryDecode(in SegmentShape shape, ReadOnlySpan<byte> encoded, Span<byte> rows, out string? error)
    {
        error = CodecArguments.ReasonNotDecodable(this, shape, rows.Length);
        if (error is null && encoded.Length != EncodedBytes(shape))
            error = $"An fp8 segment of {shape.Tokens} x {shape.HeadDim} has {encoded.Length} bytes; expected {EncodedBytes(shape)}.";
        if (error is not null) return false;

        Span<float> scales = stackalloc float[KvSegment.GranuleTokens];
        scales = scales[..shape.Tokens];
        for (int token = 0; token < shape.Tokens; token++)
        {
            uint bits = BinaryPrimitives.ReadUInt32LittleEndian(encoded[(shape.Elements + token * sizeof(float))..]);
            scales[token] = BitConverter.UInt32BitsToSingle(bits);
            if (bits <= LargestFiniteBits) continue;
            error = $"The scale of token {token} is {scales[token]} (bits 0x{bits:X8}); expected a finite number that is not negative, at most 0x{LargestFiniteBits:X8}.";
            return false;
        }

        ReadOnlySpan<Fp8E4M3> codes = MemoryMarshal.Cast<byte, Fp8E4M3>(encoded[..shape.Elements]);
        switch (shape.ElementType)
        {
            case ElementType.BFloat16: Fp8Packing.UnpackRows(codes, shape.HeadDim, scales, MemoryMarshal.Cast<byte, BFloat16>(rows)); break;
            case ElementType.Float32: Fp8Packing.UnpackRows(codes, shape.HeadDim, scales, MemoryMarshal.Cast<byte, float>(rows)); break;
            default: UnpackHalfRows(codes, shape.HeadDim, scales, MemoryMarshal.Cast<byte, Half>(rows)); break;
        }

        return true;
    }

    private static int EncodedBytes(in SegmentShape shape) => shape.Elements + shape.Tokens * sizeof(float);

    // Half has no packing kernel of its own; every half is a float, so one row at a time passes through a row of floats.
    private static PackFlags PackHalfRows(ReadOnlySpan<Half> rows, int rowLength, Span<Fp8E4M3> codes, Span<float> scales)
    {
        Span<float> row = stackalloc float[LayerGroup.MaxHeadDim];
        row = row[..rowLength];
        PackFlags flags = PackFlags.None;
        for (int token = 0; token < scales.Length; token++)
        {
            ElementConversion.ToSingle(rows.Slice(token * rowLength, rowLength), row);
            flags |= Fp8Packing.PackRows(row, rowLength, codes.Slice(token * rowLength, rowLength), scales.Slice(token, 1));
        }

        return flags;
    }

    private static void UnpackHalfRows(ReadOnlySpan<Fp8E4M3> codes, int rowLength, ReadOnlySpan<float> scales, Span<Half> rows)
    {
        Span<float> row = stackalloc float[LayerGroup.MaxHeadDim];
        row = row[..rowLength];
        for (int token = 0; token < scales.Length; token++)
        {
            Fp8Packing.UnpackRows(codes.Slice(token * rowLength, rowLength), rowLength, scales.Slice(token, 1), row);
            ElementConversion.FromSingle(row, rows.Slice(token * rowLength, rowLength));
        }
    }
}
