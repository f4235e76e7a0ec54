using System.Buffers.Binary;
using KvHandoff.Codec;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

public class KvCodecTests
{
    // The others choose a length per segment; their kernels' tests look at lengths.
    private static readonly IKvCodec[] FixedSize = [KvCodecs.Raw, KvCodecs.Fp8, KvCodecs.Int8, KvCodecs.MxFp8];
    private static readonly int[] HeadDims = [.. Enumerable.Range(1, 130), 256];

    [Theory]
    [InlineData(ElementType.BFloat16, 1)]
    [InlineData(ElementType.Float32, 9)]
    [InlineData(ElementType.Float16, 9)]
    public void Fp8_equals_the_definition_for_every_shape(ElementType type, int tokenStep)
    {
        var random = new Random(31 + (int)type);
        for (int tokens = 1; tokens <= 64; tokens += tokenStep)
        {
            foreach (int dim in HeadDims)
            {
                var shape = new SegmentShape(tokens, dim, type);
                byte[] rows = Rows(shape, random, out float[] values);
                byte[] encoded = Encode(KvCodecs.Fp8, shape, rows, out CodecFlags flags);
                Assert.Equal(CodecFlags.None, flags);
                Assert.Equal(tokens * dim + 4 * tokens, encoded.Length);
                var expected = new byte[shape.RowsBytes];
                for (int t = 0; t < tokens; t++)
                {
                    (byte[] codes, float scale) = Fp8Oracle.Pack(values.AsSpan(t * dim, dim));
                    if (!encoded.AsSpan(t * dim, dim).SequenceEqual(codes)) Assert.Equal(codes, encoded[(t * dim)..((t + 1) * dim)]);
                    if (BinaryPrimitives.ReadSingleLittleEndian(encoded.AsSpan(tokens * dim + 4 * t)) != scale) Assert.Fail($"scale of token {t} of {shape}");
                    for (int i = 0; i < dim; i++) Store(expected, type, t * dim + i, (float)(Fp8Oracle.Value(codes[i]) * scale));
                }

                var decoded = new byte[shape.RowsBytes];
                Assert.True(KvCodecs.Fp8.TryDecode(shape, encoded, decoded, out string? error), error);
                if (!decoded.AsSpan().SequenceEqual(expected)) Assert.Equal(expected, decoded);
            }
        }
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Fp8E4M3)]
    [InlineData(ElementType.Fp8E5M2)]
    [InlineData(ElementType.Int8)]
    public void Raw_is_the_identity_for_every_shape(ElementType type)
    {
        var random = new Random(37);
        for (int tokens = 1; tokens <= 64; tokens++)
        {
            foreach (int dim in HeadDims)
            {
                var shape = new SegmentShape(tokens, dim, type);
                var rows = new byte[tokens * dim * type.SizeBytes()];
                random.NextBytes(rows);
                byte[] encoded = Encode(KvCodecs.Raw, shape, rows, out CodecFlags flags);
                Assert.Equal(CodecFlags.None, flags);
                var decoded = new byte[rows.Length];
                Assert.True(KvCodecs.Raw.TryDecode(shape, encoded, decoded, out string? error), error);
                if (!encoded.AsSpan().SequenceEqual(rows) || !decoded.AsSpan().SequenceEqual(rows)) Assert.Fail($"{shape} changed");
            }
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float16)]
    public void Fp8_reports_what_is_not_finite_and_keeps_the_rest(ElementType type)
    {
        var shape = new SegmentShape(3, 40, type);
        for (int place = 0; place < 120; place += 7)
        {
            byte[] rows = Rows(shape, new Random(41), out float[] values);
            Assert.Equal(CodecFlags.None, Flags(rows));
            Store(rows, type, place, float.NaN);
            Assert.Equal(CodecFlags.HadNaN, Flags(rows));
            Store(rows, type, (place + 1) % 120, float.NegativeInfinity);
            Assert.Equal(CodecFlags.HadNaN | CodecFlags.HadInfinity, Flags(rows));
            Store(rows, type, place, values[place]);
            Assert.Equal(CodecFlags.HadInfinity, Flags(rows));
        }

        CodecFlags Flags(byte[] rows)
        {
            Encode(KvCodecs.Fp8, shape, rows, out CodecFlags flags);
            return flags;
        }
    }

    [Fact]
    public void Wrong_lengths_are_refused_with_both_lengths_in_the_text()
    {
        var shape = new SegmentShape(5, 33, ElementType.BFloat16);
        foreach (IKvCodec codec in FixedSize)
        {
            int right = codec.MaxEncodedBytes(shape);
            for (int length = 0; length < right + 9; length++)
            {
                bool ok = codec.TryDecode(shape, new byte[length], new byte[shape.RowsBytes], out string? error);
                Assert.Equal(length == right, ok);
                if (ok) continue;
                Assert.Contains($"has {length} bytes", error);
                Assert.Contains($"expected {right}", error);
            }

            Assert.False(codec.TryDecode(shape, new byte[right], new byte[shape.RowsBytes - 1], out string? room));
            Assert.Contains($"{shape.RowsBytes - 1} bytes of rows; expected {shape.RowsBytes}", room);
        }
    }

    [Theory]
    [InlineData(0x7F800000)]
    [InlineData(0xFF800000)]
    [InlineData(0x7FC00000)]
    [InlineData(0xFFFFFFFF)]
    [InlineData(0xBF800000)]
    [InlineData(0x80000000)]
    public void A_scale_that_is_negative_or_not_finite_is_refused(uint bits)
    {
        var shape = new SegmentShape(6, 7, ElementType.BFloat16);
        byte[] encoded = Encode(KvCodecs.Fp8, shape, Rows(shape, new Random(43), out _), out _);
        for (int t = 0; t < 6; t++)
        {
            byte[] damaged = [.. encoded];
            BinaryPrimitives.WriteUInt32LittleEndian(damaged.AsSpan(42 + 4 * t), bits);
            Assert.False(KvCodecs.Fp8.TryDecode(shape, damaged, new byte[shape.RowsBytes], out string? error));
            Assert.Contains($"Scale {t} has", error);
            Assert.Contains($"0x{bits:X8}", error);
        }
    }

    [Fact]
    public void Random_bytes_and_shapes_never_throw_and_never_write_outside_the_rows()
    {
        var random = new Random(47);
        int decodedCount = 0;
        for (int i = 0; i < 20_000; i++)
        {
            IKvCodec codec = KvCodecs.All[random.Next(KvCodecs.All.Count)];
            var shape = new SegmentShape(random.Next(-1, 67), random.Next(-1, 70), (ElementType)random.Next(0, 8));
            bool inRange = shape.Check() is null;
            int rowsBytes = inRange ? shape.RowsBytes : 64;
            int encodedBytes = inRange && codec.Supports(shape.ElementType) ? codec.MaxEncodedBytes(shape) : random.Next(100);
            var encoded = new byte[Math.Max(0, encodedBytes + (random.Next(3) == 0 ? random.Next(-3, 4) : 0))];
            random.NextBytes(encoded);
            // Positive exponents, so that some segments are accepted.
            if (random.Next(2) == 0) for (int at = encoded.Length - 1; at >= 0; at -= 4) encoded[at] &= 0x3F;
            var guarded = new byte[rowsBytes + 32];
            guarded.AsSpan().Fill(0xA5);
            if (codec.TryDecode(shape, encoded, guarded.AsSpan(16, rowsBytes), out string? error)) decodedCount++;
            else Assert.False(string.IsNullOrEmpty(error));
            Assert.False(guarded.AsSpan(0, 16).ContainsAnyExcept((byte)0xA5));
            Assert.False(guarded.AsSpan(16 + rowsBytes).ContainsAnyExcept((byte)0xA5));
        }

        Assert.InRange(decodedCount, 3_000, 17_000);
    }

    [Fact]
    public void Encoding_refuses_what_its_caller_got_wrong()
    {
        var shape = new SegmentShape(2, 8, ElementType.BFloat16);
        foreach (IKvCodec codec in KvCodecs.All)
        {
            Assert.Throws<ArgumentException>(() => codec.Encode(shape, new byte[31], new byte[256], out _));
            Assert.Throws<ArgumentException>(() => codec.Encode(shape, new byte[32], new byte[codec.MaxEncodedBytes(shape) - 1], out _));
            Assert.Throws<ArgumentException>(() => codec.MaxEncodedBytes(shape with { Tokens = 65 }));
            Assert.Throws<ArgumentException>(() => codec.MaxEncodedBytes(shape with { HeadDim = 0 }));
        }

        Assert.Throws<ArgumentException>(() => KvCodecs.Fp8.MaxEncodedBytes(shape with { ElementType = ElementType.Int8 }));
    }

    [Fact]
    public void Codecs_are_found_by_number_and_by_name()
    {
        foreach (IKvCodec codec in KvCodecs.All)
        {
            Assert.True(KvCodecs.TryGet(codec.Id, out IKvCodec? byId));
            Assert.True(KvCodecs.TryParse(codec.Name.ToUpperInvariant(), out IKvCodec? byName));
            Assert.Same(codec, byId);
            Assert.Same(codec, byName);
        }

        Assert.False(KvCodecs.TryGet(CodecId.Stored, out _));
        Assert.False(KvCodecs.TryGet((CodecId)255, out _));
        Assert.False(KvCodecs.TryParse("zip", out _));
        Assert.False(KvCodecs.TryParse(null, out _));
    }

    [Fact]
    public void Encoding_and_decoding_allocate_nothing()
    {
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32, ElementType.Float16])
        {
            var shape = new SegmentShape(64, 128, type);
            byte[] rows = Rows(shape, new Random(53), out _);
            foreach (IKvCodec codec in KvCodecs.All.Where(c => c.Supports(type)))
            {
                var encoded = new byte[codec.MaxEncodedBytes(shape)];
                for (int i = 0; i < 40; i++) Once();
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < 20; i++) Once();
                Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

                void Once()
                {
                    int written = codec.Encode(shape, rows, encoded, out _);
                    if (!codec.TryDecode(shape, encoded.AsSpan(0, written), rows, out string? error)) Assert.Fail(error);
                }
            }
        }
    }

    private static byte[] Encode(IKvCodec codec, in SegmentShape shape, byte[] rows, out CodecFlags flags)
    {
        var encoded = new byte[codec.MaxEncodedBytes(shape) + 3];
        encoded.AsSpan().Fill(0xA5);
        int written = codec.Encode(shape, rows, encoded, out flags);
        Assert.Equal(encoded.Length - 3, written);
        Assert.True(encoded.AsSpan(written).SequenceEqual((byte[])[0xA5, 0xA5, 0xA5]));
        return encoded[..written];
    }

    // Rows of very different magnitude, some of them zero; values is what the rows hold after rounding to the type.
    private static byte[] Rows(in SegmentShape shape, Random random, out float[] values)
    {
        var rows = new byte[shape.RowsBytes];
        values = new float[shape.Elements];
        for (int t = 0; t < shape.Tokens; t++)
        {
            double magnitude = random.Next(16) == 0 ? 0 : Math.ScaleB(1, random.Next(-12, 10));
            for (int i = 0; i < shape.HeadDim; i++)
            {
                int at = t * shape.HeadDim + i;
                Store(rows, shape.ElementType, at, (float)((random.NextDouble() * 2 - 1) * magnitude));
                values[at] = Load(rows, shape.ElementType, at);
            }
        }

        return rows;
    }

    private static void Store(byte[] rows, ElementType type, int index, float value)
    {
        switch (type)
        {
            case ElementType.Float32: BinaryPrimitives.WriteSingleLittleEndian(rows.AsSpan(index * 4), value); break;
            case ElementType.Float16: BinaryPrimitives.WriteHalfLittleEndian(rows.AsSpan(index * 2), (Half)value); break;
            default: BinaryPrimitives.WriteUInt16LittleEndian(rows.AsSpan(index * 2), Fp8Oracle.BFloat16Bits(value)); break;
        }
    }

    private static float Load(byte[] rows, ElementType type, int index) => type switch
    {
        ElementType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(rows.AsSpan(index * 4)),
        ElementType.Float16 => (float)BinaryPrimitives.ReadHalfLittleEndian(rows.AsSpan(index * 2)),
        _ => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(rows.AsSpan(index * 2)) << 16),
    };
}
