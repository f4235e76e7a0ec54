using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>Packed rows against the arithmetic that the documentation states, element by element.</summary>
public class Fp8PackingTests
{
    static readonly float SmallestScale = MathF.Pow(2, -120);

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(37)]
    public void Rows_of_every_length_pack_and_unpack_as_documented(int rows)
    {
        for (int rowLength = 1; rowLength <= 200; rowLength++)
        {
            float[] numbers = RandomNumbers(rows * rowLength, seed: rowLength);
            CheckSingle(numbers, rowLength, PackFlags.None);
            CheckBFloat16(Narrow(numbers), rowLength, PackFlags.None);
        }
    }

    [Theory]
    [InlineData(20_000)]
    [InlineData(4_096)]
    public void Rows_longer_than_a_tile_pack_as_documented(int rowLength)
    {
        float[] numbers = RandomNumbers(3 * rowLength, seed: 8);
        CheckSingle(numbers, rowLength, PackFlags.None);
        CheckBFloat16(Narrow(numbers), rowLength, PackFlags.None);
    }

    [Fact]
    public void Every_bf16_pattern_packs_as_documented()
    {
        BFloat16[] patterns = [.. Enumerable.Range(0, 65536).Select(code => BFloat16.FromBits((ushort)code))];
        CheckBFloat16(patterns, 128, PackFlags.HadNaN | PackFlags.HadInfinity);
        CheckSingle([.. patterns.Select(number => (float)number)], 128, PackFlags.HadNaN | PackFlags.HadInfinity);
    }

    [Fact]
    public void Finite_elements_come_back_within_half_a_step()
    {
        const int rowLength = 128;
        float[] numbers = RandomNumbers(64 * rowLength, seed: 21);
        var codes = new Fp8E4M3[numbers.Length];
        float[] scales = new float[64];
        float[] unpacked = new float[numbers.Length];
        Fp8Packing.PackRows(numbers, rowLength, codes, scales);
        Fp8Packing.UnpackRows(codes, rowLength, scales, unpacked);
        for (int i = 0; i < numbers.Length; i++)
        {
            double scale = scales[i / rowLength];
            // Half a step is 2^-4 of the number among normal codes and 2^-10 scales below them; the binary32 operations add
            // their own rounding.
            double bound = Math.Max(Math.ScaleB(scale, -10), Math.Abs(numbers[i]) / 16) + Math.Abs(numbers[i] * Math.ScaleB(1, -21));
            double error = Math.Abs((double)numbers[i] - unpacked[i]);
            Assert.True(error <= bound, $"{numbers[i]} came back as {unpacked[i]} with scale {scale}.");
            Assert.True(error <= (scale * 16) + Math.ScaleB(scale, -10));
        }
    }

    [Fact]
    public void The_largest_magnitude_of_a_row_takes_the_largest_code()
    {
        foreach (float largest in new[] { 1f, 3.14159f, 448f, 1e-30f, 3e38f, 65504f, 0.1f })
        {
            var codes = new Fp8E4M3[32];
            float[] scale = new float[1];
            float[] row = new float[32];
            row[17] = -largest;
            Fp8Packing.PackRows(row, 32, codes, scale);
            Assert.Equal(0xFE, codes[17].Bits);
            Assert.Equal(largest / 448f, scale[0]);
        }
    }

    [Theory]
    [InlineData(32)]
    [InlineData(7)]
    public void Zero_rows_have_scale_one_and_keep_their_signs(int rowLength)
    {
        float[] zeros = new float[rowLength];
        zeros[3] = -0f;
        var codes = new Fp8E4M3[rowLength];
        float[] scale = new float[1];
        Assert.Equal(PackFlags.None, Fp8Packing.PackRows(zeros, rowLength, codes, scale));
        Assert.Equal(1f, scale[0]);
        for (int i = 0; i < rowLength; i++)
            Assert.Equal(i == 3 ? 0x80 : 0, codes[i].Bits);
        CheckSingle(zeros, rowLength, PackFlags.None);
        CheckBFloat16(Narrow(zeros), rowLength, PackFlags.None);
    }

    [Fact]
    public void Tiny_rows_stay_finite_under_the_lower_bound_of_the_scale()
    {
        foreach (float tiny in new[] { float.Epsilon, 1e-40f, 1.2e-38f, 448 * SmallestScale })
        {
            float[] row = Enumerable.Repeat(tiny, 40).ToArray();
            CheckSingle(row, 40, PackFlags.None);
            CheckBFloat16(Narrow(row), 40, PackFlags.None);
            float[] scale = new float[1];
            Fp8Packing.PackRows(row, 40, new Fp8E4M3[40], scale);
            Assert.Equal(SmallestScale, scale[0]);
        }
    }

    [Fact]
    public void NaN_and_infinity_are_reported_and_leave_the_rest_of_their_row_alone()
    {
        const int rowLength = 48;
        for (int position = 0; position < rowLength; position++)
        {
            foreach (float special in new[] { float.NaN, -float.NaN, float.PositiveInfinity, float.NegativeInfinity })
            {
                float[] numbers = RandomNumbers(20 * rowLength, seed: position);
                var plain = new Fp8E4M3[numbers.Length];
                numbers[(7 * rowLength) + position] = 0;
                Fp8Packing.PackRows(numbers, rowLength, plain, new float[20]);
                numbers[(7 * rowLength) + position] = special;
                var codes = new Fp8E4M3[numbers.Length];
                PackFlags flags = Fp8Packing.PackRows(numbers, rowLength, codes, new float[20]);
                Assert.Equal(float.IsNaN(special) ? PackFlags.HadNaN : PackFlags.HadInfinity, flags);
                int sign = float.IsNegative(special) ? 0x80 : 0;
                Assert.Equal(sign | (float.IsNaN(special) ? 0x7F : 0x7E), codes[(7 * rowLength) + position].Bits);
                plain[(7 * rowLength) + position] = codes[(7 * rowLength) + position];
                Assert.Equal(plain, codes);
                CheckSingle(numbers, rowLength, flags);
                CheckBFloat16(Narrow(numbers), rowLength, flags);
            }
        }

        float[] scale = new float[1];
        float[] nothingFinite = [float.NaN, float.PositiveInfinity];
        Assert.Equal(PackFlags.HadNaN | PackFlags.HadInfinity, Fp8Packing.PackRows(nothingFinite, 2, new Fp8E4M3[2], scale));
        Assert.Equal(1f, scale[0]);
    }

    [Fact]
    public void No_row_length_reads_or_writes_past_its_spans()
    {
        if (!GuardedBuffer.IsAvailable)
            return;
        using var wide = new GuardedBuffer(4096);
        using var narrow = new GuardedBuffer(2048);
        using var packed = new GuardedBuffer(1024);
        using var scaleBuffer = new GuardedBuffer(64);
        for (int rowLength = 1; rowLength <= 256; rowLength++)
        {
            int rows = 1 + (rowLength % 3);
            int count = rows * rowLength;
            foreach (bool atEnd in new[] { true, false })
            {
                Span<float> singles = Part<float>(wide, count, atEnd);
                Span<BFloat16> halves = Part<BFloat16>(narrow, count, atEnd);
                Span<Fp8E4M3> codes = Part<Fp8E4M3>(packed, count, atEnd);
                Span<float> scales = Part<float>(scaleBuffer, rows, atEnd);
                float[] numbers = RandomNumbers(count, rowLength);
                numbers.CopyTo(singles);
                Fp8Packing.PackRows(singles, rowLength, codes, scales);
                Fp8Packing.UnpackRows(codes, rowLength, scales, singles);
                Narrow(numbers).CopyTo(halves);
                Fp8Packing.PackRows(halves, rowLength, codes, scales);
                Fp8Packing.UnpackRows(codes, rowLength, scales, halves);
            }
        }

        static Span<T> Part<T>(GuardedBuffer buffer, int count, bool atEnd) where T : unmanaged =>
            atEnd ? buffer.AtEnd<T>(count) : buffer.AtStart<T>(count);
    }

    [Fact]
    public void Wrong_arguments_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Fp8Packing.PackRows(new float[4], 0, new Fp8E4M3[4], new float[4]));
        Assert.Throws<ArgumentException>("source", () => Fp8Packing.PackRows(new float[5], 2, new Fp8E4M3[5], new float[5]));
        Assert.Throws<ArgumentException>("codes", () => Fp8Packing.PackRows(new BFloat16[4], 2, new Fp8E4M3[3], new float[2]));
        Assert.Throws<ArgumentException>("scales", () => Fp8Packing.PackRows(new BFloat16[4], 2, new Fp8E4M3[4], new float[1]));
        Assert.Throws<ArgumentException>("codes", () => Fp8Packing.UnpackRows(new Fp8E4M3[5], 2, new float[5], new float[5]));
        Assert.Throws<ArgumentException>("destination", () => Fp8Packing.UnpackRows(new Fp8E4M3[4], 2, new float[2], new BFloat16[3]));
        Assert.Throws<ArgumentException>("scales", () => Fp8Packing.UnpackRows(new Fp8E4M3[4], 2, new float[1], new float[4]));
        Assert.Equal(PackFlags.None, Fp8Packing.PackRows(ReadOnlySpan<float>.Empty, 8, [], []));
    }

    static void CheckSingle(float[] numbers, int rowLength, PackFlags expectedFlags)
    {
        var codes = new Fp8E4M3[numbers.Length + 1];
        float[] scales = new float[(numbers.Length / rowLength) + 1];
        codes[^1] = Fp8E4M3.FromBits(0x55);
        scales[^1] = -5;
        Assert.Equal(expectedFlags, Fp8Packing.PackRows(numbers, rowLength, codes, scales));
        Assert.Equal(0x55, codes[^1].Bits);
        Assert.Equal(-5, scales[^1]);
        CheckPacked(numbers, rowLength, codes, scales);

        float[] unpacked = new float[numbers.Length];
        Fp8Packing.UnpackRows(codes.AsSpan(0, numbers.Length), rowLength, scales, unpacked);
        for (int i = 0; i < numbers.Length; i++)
            AssertSameBits((float)codes[i] * scales[i / rowLength], unpacked[i]);
    }

    static void CheckBFloat16(BFloat16[] numbers, int rowLength, PackFlags expectedFlags)
    {
        var codes = new Fp8E4M3[numbers.Length];
        float[] scales = new float[numbers.Length / rowLength];
        Assert.Equal(expectedFlags, Fp8Packing.PackRows(numbers, rowLength, codes, scales));
        CheckPacked([.. numbers.Select(number => (float)number)], rowLength, codes, scales);

        var unpacked = new BFloat16[numbers.Length + 1];
        Fp8Packing.UnpackRows(codes, rowLength, scales, unpacked);
        for (int i = 0; i < numbers.Length; i++)
            Assert.Equal(((BFloat16)((float)codes[i] * scales[i / rowLength])).Bits, unpacked[i].Bits);
        Assert.Equal(0, unpacked[^1].Bits);
    }

    static void CheckPacked(float[] numbers, int rowLength, Fp8E4M3[] codes, float[] scales)
    {
        for (int row = 0; row < numbers.Length / rowLength; row++)
        {
            Span<float> elements = numbers.AsSpan(row * rowLength, rowLength);
            float amax = 0;
            foreach (float element in elements)
                amax = float.IsFinite(element) ? Math.Max(amax, Math.Abs(element)) : amax;
            float scale = amax == 0 ? 1 : Math.Max(amax / 448f, SmallestScale);
            AssertSameBits(scale, scales[row]);
            float inverse = 1 / scale;
            for (int i = 0; i < rowLength; i++)
            {
                int expected = ExpectedCode(elements[i], inverse);
                if (codes[(row * rowLength) + i].Bits != expected)
                    Assert.Fail($"{elements[i]:R} / {scale:R} is {codes[(row * rowLength) + i].Bits:X2}, not {expected:X2}.");
            }
        }
    }

    static int ExpectedCode(float number, float inverse)
    {
        if (float.IsNaN(number))
            return float.IsNegative(number) ? 0xFF : 0x7F;
        return FormatDefinition.E4M3.Nearest(number * inverse);
    }

    static void AssertSameBits(float expected, float actual)
    {
        if (BitConverter.SingleToUInt32Bits(expected) != BitConverter.SingleToUInt32Bits(actual))
            Assert.Fail($"Expected {expected:R}, found {actual:R}.");
    }

    // Magnitudes over eleven binades, as cache rows have them: some land among the subnormal codes.
    static float[] RandomNumbers(int count, int seed)
    {
        var random = new Random(seed);
        float[] numbers = new float[count];
        foreach (ref float number in numbers.AsSpan())
            number = (random.NextSingle() - 0.5f) * MathF.Pow(2, random.Next(-16, 5));
        return numbers;
    }

    static BFloat16[] Narrow(float[] numbers) => [.. numbers.Select(number => (BFloat16)number)];
}
