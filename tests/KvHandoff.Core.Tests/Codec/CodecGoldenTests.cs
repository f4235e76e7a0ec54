using System.Security.Cryptography;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>The bytes that codecs write for fixed rows. They are the wire's: other bytes need another version of it.</summary>
public sealed class CodecGoldenTests
{
    [Theory]
    [InlineData(CodecId.Raw, KvPlane.Key, "2628130BAF8A7353")]
    [InlineData(CodecId.Fp8E4M3, KvPlane.Key, "F4123721C41D07D4")]
    [InlineData(CodecId.Int8, KvPlane.Key, "73E3F8327A9454AE")]
    [InlineData(CodecId.Int8, KvPlane.Value, "FB77E4FE1628B05E")]
    [InlineData(CodecId.MxFp8, KvPlane.Key, "EB005D6FAB3DA4E5")]
    [InlineData(CodecId.ExponentWindow, KvPlane.Key, "832D64CC58BCB35D")]
    public void Fixed_rows_give_fixed_bytes(CodecId id, KvPlane plane, string expected)
    {
        Assert.True(KvCodecs.TryGet(id, out IKvCodec? codec));
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach ((int tokens, int dim) in ((int, int)[])[(64, 128), (64, 64), (37, 80), (5, 33)])
        {
            var shape = new SegmentShape(tokens, dim, ElementType.BFloat16, plane);
            var history = new byte[codec.HistoryBytes(shape)];
            var encoded = new byte[codec.MaxEncodedBytes(shape)];
            // Twice, so that a codec with a history writes with and without it.
            for (uint seed = 1; seed <= 2; seed++)
            {
                byte[] rows = Rows(shape, seed);
                int bytes = codec.Encode(shape, new KvHandoff.Memory.RowRuns(rows, shape.RowBytes), history, encoded, out CodecFlags flags);
                Assert.Equal(CodecFlags.None, flags);
                hash.AppendData(encoded, 0, bytes);
            }
        }

        Assert.Equal(expected, Convert.ToHexString(hash.GetHashAndReset())[..16]);
    }

    // Sums of four uniform numbers from a fixed generator, one channel in sixteen ten times as large: only exact operations.
    private static byte[] Rows(in SegmentShape shape, uint seed)
    {
        var rows = new byte[shape.RowsBytes];
        uint state = seed;
        for (int i = 0; i < shape.Elements; i++)
        {
            int sum = 0;
            for (int k = 0; k < 4; k++)
            {
                state = state * 1_664_525 + 1_013_904_223;
                sum += (int)(state >> 20) - 2048;
            }

            float value = sum / 2048f * (i % shape.HeadDim % 16 == 3 ? 10 : 1);
            var element = (BFloat16)value;
            System.Buffers.Binary.BinaryPrimitives.WriteUInt16LittleEndian(rows.AsSpan(i * 2), element.Bits);
        }

        return rows;
    }
}
