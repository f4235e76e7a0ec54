using System.Security.Cryptography;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>
/// One hash over what all kernels make of the same rows, NaN bits included: a constant, so that every instruction set that these tests
/// run on gives the same bytes. What the bytes must be, the other tests say.
/// </summary>
public class PackingSameBytesTests
{
    const string Expected = "bc05339bb007bfad69c3ae9206737da123deceac80a8fb5ea46296c4374ef457";

    [Fact]
    public void Every_instruction_set_gives_the_same_bytes()
    {
        var random = new Random(51);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (ElementType type in PackingMemory.Sources)
        {
            foreach (RowContent content in Enum.GetValues<RowContent>())
            {
                RowShape shape = RowShape.WithGap(type, 11, 203, 4);
                byte[] source = shape.Write(content.Numbers(type, shape.Elements, random));
                foreach (ElementType code in PackingMemory.CodeTypes)
                {
                    Rows(hash, shape, source, code);
                    Channels(hash, shape, source, code);
                    if (code != ElementType.Int8)
                        Groups(hash, shape, source, code);
                }
            }
        }

        Assert.Equal(Expected, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    static void Rows(IncrementalHash hash, RowShape shape, byte[] source, ElementType code)
    {
        byte[] codes = new byte[shape.Elements];
        float[] scales = new float[shape.Rows];
        byte[] unpacked = new byte[shape.Bytes];
        foreach (ScaleType scaleType in PackingMemory.ScaleTypes)
        {
            RowScaledPacking.Pack(source, shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, code, scaleType, codes, scales);
            RowScaledPacking.Unpack(codes, code, shape.Rows, shape.RowLength, scales, unpacked, shape.StrideBytes, shape.Type);
            Append(hash, codes, scales, unpacked);
        }

        FixedScalePacking.Pack(source, shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, code, 0.013f, codes);
        FixedScalePacking.Unpack(codes, code, shape.Rows, shape.RowLength, 0.013f, unpacked, shape.StrideBytes, shape.Type);
        Append(hash, codes, [], unpacked);
    }

    static void Channels(IncrementalHash hash, RowShape shape, byte[] source, ElementType code)
    {
        byte[] codes = new byte[shape.Elements];
        float[] largest = new float[shape.RowLength];
        float[] scales = new float[shape.RowLength];
        float[] inverses = new float[shape.RowLength];
        byte[] unpacked = new byte[shape.Bytes];
        ChannelScaledPacking.AccumulateMagnitudes(source, shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, largest);
        ChannelScaledPacking.ScalesOf(largest, code, ScaleType.Float32, scales, inverses);
        ChannelScaledPacking.Pack(source, shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, code, inverses, codes);
        ChannelScaledPacking.Unpack(codes, code, shape.Rows, shape.RowLength, scales, unpacked, shape.StrideBytes, shape.Type);
        Append(hash, codes, scales, unpacked);
    }

    static void Groups(IncrementalHash hash, RowShape shape, byte[] source, ElementType code)
    {
        byte[] codes = new byte[shape.Elements];
        byte[] scales = new byte[shape.Rows * 7];
        byte[] unpacked = new byte[shape.Bytes];
        foreach (MxRule rule in new[] { MxRule.Ceiling, MxRule.Floor })
        {
            MxPacking.Pack(source, shape.StrideBytes, shape.Type, shape.Rows, shape.RowLength, code, rule, codes, scales);
            MxPacking.Unpack(codes, code, shape.Rows, shape.RowLength, scales, unpacked, shape.StrideBytes, shape.Type);
            hash.AppendData(scales);
            Append(hash, codes, [], unpacked);
        }
    }

    static void Append(IncrementalHash hash, byte[] codes, float[] scales, byte[] unpacked)
    {
        hash.AppendData(codes);
        foreach (float scale in scales)
            hash.AppendData(BitConverter.GetBytes(scale));
        hash.AppendData(unpacked);
    }
}
