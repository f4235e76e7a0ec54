using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using KvHandoff.Codec;
using static KvHandoff.Codec.ExponentWindow;
using static KvHandoff.Core.Tests.Codec.ExponentWindowSamples;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>
/// Every vector kernel against the scalar definition, byte for byte. The AVX-512 kernel also runs where there is no AVX-512, on
/// definitions of its instructions.
/// </summary>
public sealed class ExponentWindowKernelTests
{
    public static TheoryData<string> Kernels
    {
        get
        {
            var kernels = new TheoryData<string> { "Vector128", "AVX-512 as defined" };
            if (Avx2.IsSupported) kernels.Add("AVX2");
            if (Avx512Vbmi2.IsSupported) kernels.Add("AVX-512");
            return kernels;
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Every_kernel_writes_and_reads_the_bytes_of_the_definition(string kernel)
    {
        var random = new Random(21);
        foreach (int dim in (int[])[1, 16, 31, 64, 80, 100, 128, 200])
        {
            foreach (int tokens in (int[])[2, 20])
            {
                // The share of escapes from none over a few to nearly all.
                foreach (double escaping in (double[])[0, 0.02, 0.1, 0.4, 0.9])
                {
                    byte[] source = Bytes(Values(tokens, dim, escaping, random));
                    CheckKernel(kernel, source, new TileRows(2 * dim, tokens, dim));
                }
            }
        }
    }

    private static void CheckKernel(string kernel, byte[] source, TileRows rows)
    {
        if (rows.EscapeLimit <= 0) return;
        byte[] expected = NewTile(rows), actual = NewTile(rows), expectedLargest = new byte[rows.Dim], actualLargest = new byte[rows.Dim];
        int escapes = EncodeRows<NoWindow>(source, rows, expectedLargest, expected);
        int found = kernel switch
        {
            "Vector128" => EncodeRows<Window128>(source, rows, actualLargest, actual),
            "AVX2" => EncodeRows<Window256>(source, rows, actualLargest, actual),
            "AVX-512" => EncodeRows<Window512<Bytes512>>(source, rows, actualLargest, actual),
            _ => EncodeRows<Window512<DefinedBytes512>>(source, rows, actualLargest, actual),
        };
        Assert.Equal(escapes >= rows.EscapeLimit, found >= rows.EscapeLimit);
        if (escapes >= rows.EscapeLimit) return;
        int bytes = rows.EscapeOffset + escapes;
        Assert.Equal(escapes, found);
        Assert.Equal(expected[..bytes], actual[..bytes]);
        Assert.Equal(expectedLargest, actualLargest);

        var decoded = new byte[rows.RawBytes];
        int used = kernel switch
        {
            "Vector128" => DecodeRows<Window128>(expected.AsSpan(0, bytes), rows, decoded, escapes),
            "AVX2" => DecodeRows<Window256>(expected.AsSpan(0, bytes), rows, decoded, escapes),
            "AVX-512" => DecodeRows<Window512<Bytes512>>(expected.AsSpan(0, bytes), rows, decoded, escapes),
            _ => DecodeRows<Window512<DefinedBytes512>>(expected.AsSpan(0, bytes), rows, decoded, escapes),
        };
        Assert.Equal(escapes, used);
        Assert.Equal(source, decoded);
    }

    private static ushort[] Values(int tokens, int dim, double escaping, Random random)
    {
        var values = new ushort[tokens * dim];
        for (int i = 0; i < values.Length; i++)
        {
            int exponent = random.NextDouble() < escaping ? random.Next(256) : 120 - random.Next(7);
            values[i] = (ushort)((exponent << 7) | random.Next(128) | (random.Next(2) << 15));
        }

        return values;
    }

    private static byte[] NewTile(TileRows rows)
    {
        var encoded = new byte[1 + rows.RawBytes];
        encoded.AsSpan(WindowHeaderBytes, rows.Dim).Fill(120);
        return encoded;
    }

    /// <summary>What the processor's manual says that each instruction does.</summary>
    private readonly struct DefinedBytes512 : IBytes512
    {
        public static Vector512<byte> Pick(Vector512<byte> lower, Vector512<byte> indices, Vector512<byte> upper) =>
            Each(i => (indices[i] & 64) == 0 ? lower[indices[i] & 63] : upper[indices[i] & 63]);

        public static Vector512<byte> Pick(Vector512<byte> source, Vector512<byte> indices) => Each(i => source[indices[i] & 63]);

        public static Vector512<byte> MultiShift(Vector512<byte> shifts, Vector512<ulong> source) =>
            Each(i => (byte)BitOperations.RotateRight(source[i / 8], shifts[i] & 63));

        public static Vector512<short> MultiplyAdd(Vector512<byte> left, Vector512<sbyte> right)
        {
            var sums = new short[32];
            for (int i = 0; i < 32; i++)
                sums[i] = (short)Math.Clamp(left[2 * i] * right[2 * i] + left[2 * i + 1] * right[2 * i + 1], short.MinValue, short.MaxValue);
            return Vector512.Create(sums);
        }

        public static Vector512<int> MultiplyAdd(Vector512<short> left, Vector512<short> right)
        {
            var sums = new int[16];
            for (int i = 0; i < 16; i++) sums[i] = left[2 * i] * right[2 * i] + left[2 * i + 1] * right[2 * i + 1];
            return Vector512.Create(sums);
        }

        public static Vector512<byte> Compress(Vector512<byte> mask, Vector512<byte> value)
        {
            var packed = new byte[64];
            int next = 0;
            for (int i = 0; i < 64; i++)
            {
                if (mask[i] >= 0x80) packed[next++] = value[i];
            }

            return Vector512.Create(packed);
        }

        public static Vector512<byte> Expand(Vector512<byte> otherwise, Vector512<byte> mask, Vector512<byte> value)
        {
            int next = 0;
            return Each(i => mask[i] >= 0x80 ? value[next++] : otherwise[i]);
        }

        private static Vector512<byte> Each(Func<int, byte> element)
        {
            var bytes = new byte[64];
            for (int i = 0; i < 64; i++) bytes[i] = element(i);
            return Vector512.Create(bytes);
        }
    }
}
