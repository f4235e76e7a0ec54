using System.Runtime.InteropServices;
using KvHandoff.Codec;
using KvHandoff.Memory;
using KvHandoff.Native;
using KvHandoff.Numerics;

namespace KvHandoff.AbiBench;

/// <summary>Packing kernels, codecs and checksums over the same bytes in both forms.</summary>
static unsafe class KernelTable
{
    const int RowLength = 128, Rows = 128 * 1024, Bytes = Rows * RowLength * 2;

    private static string _only = "";

    /// <summary>Prints a row for each kernel whose name contains <paramref name="only"/>.</summary>
    internal static void Print(string only = "")
    {
        _only = only;
        using NativeSlab source = NativeSlab.Allocate(Bytes * 2L), target = NativeSlab.Allocate(Bytes * 2L), scales = NativeSlab.Allocate(Rows * 4L);
        var random = new Random(1);
        var numbers = new float[Rows * RowLength];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = (float)((random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5) * 4);
        byte* from = (byte*)source.Address, to = (byte*)target.Address;
        float* scale = (float*)scales.Address;
        fixed (float* n = numbers) ElementConversion.Convert(new ReadOnlySpan<byte>(n, Bytes * 2), ElementType.Float32, new Span<byte>(from, Bytes), ElementType.BFloat16);
        Span<byte> Source() => new(from, Bytes);
        Span<byte> Codes() => new(to, Bytes / 2);
        Span<float> Scales() => new(scale, Rows);

        foreach ((int code, string name) in new[] { (4, "e4m3"), (6, "int8") })
        {
            KvhRows* shape = Shape(Rows, code);
            var element = (ElementType)code;
            var pack = (delegate* unmanaged<KvhRows*, void*, byte*, float*, uint*, int>)Library.Export("kvh_pack_rows");
            Row($"pack bf16 -> {name}, scale per row", Bytes,
                () => RowScaledPacking.Pack(Source(), RowLength * 2, ElementType.BFloat16, Rows, RowLength, element, ScaleType.Float32, Codes(), Scales()),
                () => Library.Check(pack(shape, from, to, scale, null)));
            var unpack = (delegate* unmanaged<KvhRows*, byte*, float*, void*, int>)Library.Export("kvh_unpack_rows");
            byte* back = to + Bytes / 2;
            Row($"unpack {name} -> bf16", Bytes,
                () => RowScaledPacking.Unpack(Codes(), element, Rows, RowLength, Scales(), new Span<byte>(back, Bytes), RowLength * 2, ElementType.BFloat16),
                () => Library.Check(unpack(shape, to, scale, back)));
        }

        KvhRows* tile = Shape(64, 6);
        var channels = (delegate* unmanaged<KvhRows*, void*, byte*, float*, uint*, int>)Library.Export("kvh_pack_channels");
        Row("pack bf16 -> int8, scale per channel of 64 rows", Bytes, () =>
        {
            Span<float> inverses = stackalloc float[RowLength];
            for (int t = 0; t < Rows / 64; t++)
            {
                Span<byte> rows = new(from + t * 64 * RowLength * 2, 64 * RowLength * 2);
                Span<float> largest = new(scale, RowLength);
                largest.Clear();
                ChannelScaledPacking.AccumulateMagnitudes(rows, RowLength * 2, ElementType.BFloat16, 64, RowLength, largest);
                ChannelScaledPacking.ScalesOf(largest, ElementType.Int8, ScaleType.Float32, largest, inverses);
                ChannelScaledPacking.Pack(rows, RowLength * 2, ElementType.BFloat16, 64, RowLength, ElementType.Int8, inverses, new Span<byte>(to + t * 64 * RowLength, 64 * RowLength));
            }
        }, () =>
        {
            for (int t = 0; t < Rows / 64; t++) Library.Check(channels(tile, from + t * 64 * RowLength * 2, to + t * 64 * RowLength, scale, null));
        });

        KvhRows* mx = Shape(Rows, 4);
        var packMx = (delegate* unmanaged<KvhRows*, void*, byte*, byte*, uint*, int>)Library.Export("kvh_pack_mx");
        Row("pack bf16 -> mxfp8", Bytes,
            () => MxPacking.Pack(Source(), RowLength * 2, ElementType.BFloat16, Rows, RowLength, ElementType.Fp8E4M3, MxRule.Ceiling, Codes(), new Span<byte>(scale, Rows * 4)),
            () => Library.Check(packMx(mx, from, to, (byte*)scale, null)));
        var convert = (delegate* unmanaged<void*, int, void*, int, long, int>)Library.Export("kvh_convert");
        Row("convert bf16 -> fp32", Bytes, () => ElementConversion.Convert(Source(), ElementType.BFloat16, new Span<byte>(to, 2 * Bytes), ElementType.Float32), () => Library.Check(convert(from, 3, to, 1, Bytes / 2)));
        var crc = (delegate* unmanaged<void*, long, uint*, int>)Library.Export("kvh_crc32c");
        uint sum = 0;
        Row("crc32c", Bytes, () => Crc32C.Compute(Source()), () =>
        {
            uint value = 0;
            Library.Check(crc(from, Bytes, &value));
            sum ^= value;
        });
        var copy = (delegate* unmanaged<void*, void*, long, uint*, int>)Library.Export("kvh_copy_crc32c");
        Row("copy with crc32c", Bytes, () => ChecksummedCopy.Append(0, Source(), new Span<byte>(to, Bytes), true), () =>
        {
            uint value = 0;
            Library.Check(copy(from, to, Bytes, &value));
        });
        foreach ((int number, IKvCodec codec) in new[] { (2, KvCodecs.Fp8), (3, KvCodecs.Int8), (5, KvCodecs.ExponentWindow) }) Codec(number, codec, from, to);
    }

    // Captured by the loops, so behind a pointer; lives as long as the process.
    static KvhRows* Shape(int rows, int code)
    {
        KvhRows* shape = (KvhRows*)NativeMemory.AllocZeroed((nuint)sizeof(KvhRows));
        *shape = new KvhRows { StructSize = (uint)sizeof(KvhRows), Element = 3, Rows = rows, RowLength = RowLength, Code = code };
        return shape;
    }

    static void Codec(int number, IKvCodec codec, byte* from, byte* to)
    {
        KvhSegment* segment = (KvhSegment*)NativeMemory.AllocZeroed((nuint)sizeof(KvhSegment));
        *segment = new KvhSegment { StructSize = (uint)sizeof(KvhSegment), Codec = number, Tokens = 64, HeadDim = RowLength, Element = 3 };
        var shape = new SegmentShape(64, RowLength, ElementType.BFloat16);
        int step = shape.RowsBytes, room = codec.MaxEncodedBytes(shape);
        var sizes = new int[Bytes / step];
        var encode = (delegate* unmanaged<KvhSegment*, void*, void*, long, long*, uint*, int>)Library.Export("kvh_codec_encode");
        var decode = (delegate* unmanaged<KvhSegment*, void*, long, void*, int>)Library.Export("kvh_codec_decode");
        Row($"codec {codec.Name} encode, 64 x {RowLength}", Bytes, () =>
        {
            for (int i = 0; i < sizes.Length; i++) sizes[i] = codec.Encode(shape, new Span<byte>(from + (long)i * step, step), new Span<byte>(to + (long)i * room, room), out _);
        }, () =>
        {
            long bytes;
            for (int i = 0; i < sizes.Length; i++) Library.Check(encode(segment, from + (long)i * step, to + (long)i * room, room, &bytes, null));
        });
        Row($"codec {codec.Name} decode", Bytes, () =>
        {
            for (int i = 0; i < sizes.Length; i++) codec.TryDecode(shape, new ReadOnlySpan<byte>(to + (long)i * room, sizes[i]), new Span<byte>(from + (long)i * step, step), out _);
        }, () =>
        {
            for (int i = 0; i < sizes.Length; i++) Library.Check(decode(segment, to + (long)i * room, sizes[i], from + (long)i * step));
        });
    }

    internal static void Row(string name, double bytes, Action jit, Action abi)
    {
        if (!name.Contains(_only, StringComparison.Ordinal)) return;
        (double first, double second) = Turns.Measure(jit, abi);
        Console.WriteLine($"| {name} | {bytes / first / 1e9:0.0} | {bytes / second / 1e9:0.0} | {first / second:0.00} |");
    }
}
