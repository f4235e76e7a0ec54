using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>
/// Rows that are finite and in range, which take the fastest loops, with scales within two ulp of every BF16 significand: products
/// that round across a power of two, onto a tie and off it, in every binade of a code and below.
/// </summary>
public class PackingRoundingEdgeTests
{
    const int Significands = 128;

    public static TheoryData<ElementType, ElementType> Pairs => RowScaledPackingTests.Pairs;

    static int Lowest(ElementType code) => code switch { ElementType.Fp8E4M3 => -12, ElementType.Fp8E5M2 => -19, _ => -3 };

    static int Highest(ElementType code) => code switch { ElementType.Fp8E4M3 => 8, ElementType.Fp8E5M2 => 15, _ => 6 };

    [Theory]
    [MemberData(nameof(Pairs))]
    public void One_scale_for_every_significand_and_binade(ElementType from, ElementType code)
    {
        int rows = Highest(code) - Lowest(code) + 1;
        RowShape shape = RowShape.WithGap(from, rows, Significands, 0);
        byte[] codes = new byte[shape.Elements];
        for (int edge = 0; edge < Significands * 5; edge++)
        {
            float scale = EdgeScale(edge, from);
            float inverse = 1 / scale;
            float[] numbers = shape.Read(shape.Write(
                [.. Enumerable.Range(0, shape.Elements).Select(i => Number(i % Significands, Lowest(code) + (i / Significands), scale, code))]));
            PackFlags flags = FixedScalePacking.Pack(
                shape.Write(numbers), shape.StrideBytes, from, rows, Significands, code, scale, codes);
            Assert.Equal(PackFlags.None, flags);
            byte[] expected = [.. numbers.Select(number => PackingReference.Code(number, inverse, code))];
            PackingMemory.AssertCodes(expected, codes, numbers, $"{from} to {code} with scale {scale:R}");
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_scale_a_channel_for_every_significand_and_binade(ElementType from, ElementType code)
    {
        int rows = Highest(code) - Lowest(code) + 1;
        RowShape shape = RowShape.WithGap(from, rows, Significands * 5, 0);
        byte[] codes = new byte[shape.Elements];
        float[] inverses = [.. Enumerable.Range(0, shape.RowLength).Select(edge => 1 / EdgeScale(edge, from))];
        // Each round gives every channel another significand.
        for (int round = 0; round < 40; round++)
        {
            float[] numbers = new float[shape.Elements];
            for (int i = 0; i < numbers.Length; i++)
            {
                int channel = i % shape.RowLength;
                int significand = ((channel / 5) + (round * round)) % Significands;
                numbers[i] = Number(significand, Lowest(code) + (i / shape.RowLength), EdgeScale(channel, from), code);
            }

            numbers = shape.Read(shape.Write(numbers));
            ChannelScaledPacking.Pack(shape.Write(numbers), shape.StrideBytes, from, rows, shape.RowLength, code, inverses, codes);
            byte[] expected = [.. numbers.Select((number, i) => PackingReference.Code(number, inverses[i % inverses.Length], code))];
            PackingMemory.AssertCodes(expected, codes, numbers, $"{from} to {code}, round {round}");
        }
    }

    // Significand 1 to 2 in steps of 1/128, less or more two ulp, at exponents over the range of the source.
    static float EdgeScale(int edge, ElementType from)
    {
        uint bits = BitConverter.SingleToUInt32Bits(1 + (edge / 5 / 128f));
        float significand = BitConverter.UInt32BitsToSingle((uint)(bits + (edge % 5) - 2));
        int[] exponents = from == ElementType.Float16 ? [0, -3, -9, -14] : [0, -8, -40, -110, -117, -119, 60, 100];
        return MathF.ScaleB(significand, exponents[edge % exponents.Length]);
    }

    static float Number(int significand, int binade, float scale, ElementType code)
    {
        float number = MathF.ScaleB(1 + (significand / 128f), binade + Math.ILogB(scale));
        if (number > PackingReference.Largest(code) * (double)scale)
            number /= 2;
        return significand % 3 == 0 ? -number : number;
    }
}
