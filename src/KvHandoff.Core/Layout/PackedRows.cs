using System.Buffers.Binary;
using System.Runtime.InteropServices;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>
/// Packs rows of one head into 8-bit codes and scales of any <see cref="StorageForm"/>, and unpacks them: the same bytes in a block
/// and on the wire. Scales are little-endian, in token, tile or group order. The arithmetic is that of the packing kernels of
/// <see cref="KvHandoff.Numerics"/>.
/// </summary>
/// <remarks>Thread-safe; nothing is allocated. Scales of one call are held on the stack: at most 64 tokens, 4,096 channels.</remarks>
public static class PackedRows
{
    /// <summary>Packs the next <paramref name="tokens"/> rows.</summary>
    /// <param name="form">An 8-bit form with scales.</param>
    /// <param name="source">Rows of <paramref name="from"/>; moves past those that are packed.</param>
    /// <param name="from">BF16, FP16 or FP32.</param>
    /// <param name="tokens">Tokens from a tile's start, at most 64.</param>
    /// <param name="headDim">Elements of a row.</param>
    /// <param name="staticScale">The scale of the forms whose scale is set by the host.</param>
    /// <param name="codes">Receives tokens x dim codes.</param>
    /// <param name="scales">Receives the scales; not used by forms with a static scale.</param>
    /// <returns>What was met besides finite numbers.</returns>
    public static PackFlags Pack(in StorageForm form, ref RowCursor source, ElementType from, int tokens, int headDim, float staticScale, Span<byte> codes, Span<byte> scales)
    {
        switch (form.ScaleKind)
        {
            case ScaleKind.PerTensor or ScaleKind.PerHead: return PackFixed(form, ref source, from, tokens, headDim, staticScale, codes);
            case ScaleKind.PerTokenHead: return PackTokens(form, ref source, from, tokens, headDim, codes, scales);
            case ScaleKind.PerChannelTile: return PackChannels(form, ref source, from, tokens, headDim, codes, scales);
            case ScaleKind.PerGroup32: return PackGroups(form, ref source, from, tokens, headDim, codes, scales);
            default: throw new ArgumentException($"Rows stored as {form} have no scales to pack with.", nameof(form));
        }
    }

    /// <summary>Unpacks <paramref name="tokens"/> rows into the next rows of the destination, rounding to <paramref name="to"/>.</summary>
    public static void Unpack(in StorageForm form, ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, float staticScale, int tokens, int headDim, ref RowCursor destination, ElementType to)
    {
        Span<float> values = stackalloc float[form.ScaleKind switch { ScaleKind.PerTokenHead => tokens, ScaleKind.PerChannelTile => headDim, _ => 0 }];
        int groups = form.ScaleCount(1, headDim), size = form.ScaleType.SizeBytes();
        if (form.ScaleKind == ScaleKind.PerTokenHead) Read(scales, form.ScaleType, values);
        for (int done = 0; done < tokens;)
        {
            int most = tokens - done;
            if (form.ScaleKind == ScaleKind.PerChannelTile)
            {
                most = Math.Min(most, form.TileTokens - done % form.TileTokens);
                if (done % form.TileTokens == 0) Read(scales[(done / form.TileTokens * headDim * size)..], form.ScaleType, values);
            }

            Span<byte> rows = destination.Next(most, out int count, out int stride);
            if (count == 0) throw new ArgumentException($"The destination has room for {done} of {tokens} rows.", nameof(destination));
            ReadOnlySpan<byte> part = codes.Slice(done * headDim, count * headDim);
            switch (form.ScaleKind)
            {
                case ScaleKind.PerTokenHead: RowScaledPacking.Unpack(part, form.ElementType, count, headDim, values.Slice(done, count), rows, stride, to); break;
                case ScaleKind.PerChannelTile: ChannelScaledPacking.Unpack(part, form.ElementType, count, headDim, values, rows, stride, to); break;
                case ScaleKind.PerGroup32: MxPacking.Unpack(part, form.ElementType, count, headDim, scales.Slice(done * groups, count * groups), rows, stride, to); break;
                default: FixedScalePacking.Unpack(part, form.ElementType, count, headDim, form.IsScaled ? staticScale : 1f, rows, stride, to); break;
            }

            done += count;
        }
    }

    /// <summary>Reads scales.</summary>
    internal static void Read(ReadOnlySpan<byte> bytes, ScaleType type, Span<float> scales)
    {
        for (int i = 0; i < scales.Length; i++)
        {
            scales[i] = type == ScaleType.Float32
                ? BinaryPrimitives.ReadSingleLittleEndian(bytes[(i * sizeof(float))..])
                : (float)BFloat16.FromBits(BinaryPrimitives.ReadUInt16LittleEndian(bytes[(i * sizeof(ushort))..]));
        }
    }

    private static void Write(ReadOnlySpan<float> scales, ScaleType type, Span<byte> bytes)
    {
        if (type == ScaleType.Float32 && BitConverter.IsLittleEndian)
        {
            MemoryMarshal.AsBytes(scales).CopyTo(bytes);
            return;
        }

        for (int i = 0; i < scales.Length; i++)
        {
            if (type == ScaleType.Float32) BinaryPrimitives.WriteSingleLittleEndian(bytes[(i * sizeof(float))..], scales[i]);
            // Already rounded by the kernel: the conversion is exact.
            else BinaryPrimitives.WriteUInt16LittleEndian(bytes[(i * sizeof(ushort))..], ((BFloat16)scales[i]).Bits);
        }
    }

    private static PackFlags PackFixed(in StorageForm form, ref RowCursor source, ElementType from, int tokens, int headDim, float scale, Span<byte> codes)
    {
        PackFlags flags = PackFlags.None;
        for (int done = 0; done < tokens;)
        {
            ReadOnlySpan<byte> rows = Take(ref source, tokens - done, out int count, out int stride);
            flags |= FixedScalePacking.Pack(rows, stride, from, count, headDim, form.ElementType, scale, codes.Slice(done * headDim, count * headDim));
            done += count;
        }

        return flags;
    }

    private static PackFlags PackTokens(in StorageForm form, ref RowCursor source, ElementType from, int tokens, int headDim, Span<byte> codes, Span<byte> scales)
    {
        Span<float> values = stackalloc float[tokens];
        PackFlags flags = PackFlags.None;
        for (int done = 0; done < tokens;)
        {
            ReadOnlySpan<byte> rows = Take(ref source, tokens - done, out int count, out int stride);
            flags |= RowScaledPacking.Pack(rows, stride, from, count, headDim, form.ElementType, form.ScaleType, codes.Slice(done * headDim, count * headDim), values.Slice(done, count));
            done += count;
        }

        Write(values, form.ScaleType, scales);
        return flags;
    }

    private static PackFlags PackChannels(in StorageForm form, ref RowCursor source, ElementType from, int tokens, int headDim, Span<byte> codes, Span<byte> scales)
    {
        Span<float> largest = stackalloc float[headDim], inverses = stackalloc float[headDim];
        PackFlags flags = PackFlags.None;
        int tileScaleBytes = headDim * form.ScaleType.SizeBytes();
        for (int first = 0; first < tokens; first += form.TileTokens, scales = scales[tileScaleBytes..])
        {
            int tile = Math.Min(form.TileTokens, tokens - first);
            RowCursor again = source;
            largest.Clear();
            for (int done = 0; done < tile;)
            {
                ReadOnlySpan<byte> rows = Take(ref source, tile - done, out int count, out int stride);
                flags |= ChannelScaledPacking.AccumulateMagnitudes(rows, stride, from, count, headDim, largest);
                done += count;
            }

            ChannelScaledPacking.ScalesOf(largest, form.ElementType, form.ScaleType, largest, inverses);
            for (int done = 0; done < tile;)
            {
                ReadOnlySpan<byte> rows = Take(ref again, tile - done, out int count, out int stride);
                ChannelScaledPacking.Pack(rows, stride, from, count, headDim, form.ElementType, inverses, codes.Slice((first + done) * headDim, count * headDim));
                done += count;
            }

            Write(largest, form.ScaleType, scales);
        }

        return flags;
    }

    private static PackFlags PackGroups(in StorageForm form, ref RowCursor source, ElementType from, int tokens, int headDim, Span<byte> codes, Span<byte> scales)
    {
        int groups = form.ScaleCount(1, headDim);
        PackFlags flags = PackFlags.None;
        for (int done = 0; done < tokens;)
        {
            ReadOnlySpan<byte> rows = Take(ref source, tokens - done, out int count, out int stride);
            flags |= MxPacking.Pack(rows, stride, from, count, headDim, form.ElementType, MxRule.Ceiling, codes.Slice(done * headDim, count * headDim), scales.Slice(done * groups, count * groups));
            done += count;
        }

        return flags;
    }

    private static ReadOnlySpan<byte> Take(ref RowCursor source, int most, out int rows, out int stride)
    {
        Span<byte> taken = source.Next(most, out rows, out stride);
        return rows > 0 ? taken : throw new ArgumentException($"{most} more rows are to be packed; none is left.", nameof(source));
    }
}
