using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>The error bounds that docs/numerics.md derives, on rows of every content that has finite numbers.</summary>
public class PackingErrorBoundTests
{
    // What the binary32 operations add, as a share of |x|.
    static readonly double Operations = Math.ScaleB(1, -21);

    public static TheoryData<ElementType, ScaleType> Scaled
    {
        get
        {
            var cases = new TheoryData<ElementType, ScaleType>();
            foreach (ElementType code in PackingMemory.CodeTypes)
            {
                foreach (ScaleType type in PackingMemory.ScaleTypes)
                    cases.Add(code, type);
            }

            return cases;
        }
    }

    public static TheoryData<ElementType, MxRule> Grouped => new()
    {
        { ElementType.Fp8E4M3, MxRule.Ceiling }, { ElementType.Fp8E4M3, MxRule.Floor },
        { ElementType.Fp8E5M2, MxRule.Ceiling }, { ElementType.Fp8E5M2, MxRule.Floor },
    };

    [Theory]
    [MemberData(nameof(Scaled))]
    public void A_row_comes_back_within_its_bound(ElementType code, ScaleType scaleType)
    {
        const int rows = 16, rowLength = 128;
        double share = AmaxShare(code) * (scaleType == ScaleType.BFloat16 ? 1 + Math.ScaleB(1, -8) : 1);
        foreach ((RowShape shape, float[] numbers) in Inputs(rows, rowLength))
        {
            byte[] codes = new byte[rows * rowLength];
            float[] scales = new float[rows];
            byte[] unpacked = new byte[rows * rowLength * 4];
            RowScaledPacking.Pack(shape.Write(numbers), shape.StrideBytes, shape.Type, rows, rowLength, code, scaleType, codes, scales);
            RowScaledPacking.Unpack(codes, code, rows, rowLength, scales, unpacked, rowLength * 4, ElementType.Float32);
            ReadOnlySpan<float> back = MemoryMarshal.Cast<byte, float>(unpacked);
            double amax = 0;
            for (int i = 0; i < numbers.Length; i++)
            {
                if (i % rowLength == 0)
                    amax = PackingReference.Amax(new ArraySegment<float>(numbers, i, rowLength));
                double x = numbers[i];
                double scale = scales[i / rowLength];
                // A product of the largest magnitudes can overflow by its last rounding.
                if (!double.IsFinite(x) || Math.Abs(x) > 3e38)
                    continue;
                double error = Math.Abs(x - back[i]);
                AssertWithin(error, StepBound(x, scale, code) + (Operations * Math.Abs(x)), x, scale);
                if (scale > PackingReference.SmallestScale)
                    AssertWithin(error, amax * (share + Operations), x, scale);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Scaled))]
    public void A_tile_comes_back_within_the_bound_of_each_channel(ElementType code, ScaleType scaleType)
    {
        const int rows = 64, channels = 32;
        foreach ((RowShape shape, float[] numbers) in Inputs(rows, channels))
        {
            byte[] source = shape.Write(numbers);
            float[] largest = new float[channels];
            float[] scales = new float[channels];
            float[] inverses = new float[channels];
            byte[] codes = new byte[rows * channels];
            byte[] unpacked = new byte[rows * channels * 4];
            ChannelScaledPacking.AccumulateMagnitudes(source, shape.StrideBytes, shape.Type, rows, channels, largest);
            ChannelScaledPacking.ScalesOf(largest, code, scaleType, scales, inverses);
            ChannelScaledPacking.Pack(source, shape.StrideBytes, shape.Type, rows, channels, code, inverses, codes);
            ChannelScaledPacking.Unpack(codes, code, rows, channels, scales, unpacked, channels * 4, ElementType.Float32);
            ReadOnlySpan<float> back = MemoryMarshal.Cast<byte, float>(unpacked);
            for (int i = 0; i < numbers.Length; i++)
            {
                double x = numbers[i];
                if (!double.IsFinite(x) || Math.Abs(x) > 3e38)
                    continue;
                AssertWithin(
                    Math.Abs(x - back[i]), StepBound(x, scales[i % channels], code) + (Operations * Math.Abs(x)), x, scales[i % channels]);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Grouped))]
    public void A_group_comes_back_within_its_bound(ElementType code, MxRule rule)
    {
        const int rows = 16, rowLength = 128;
        foreach ((RowShape shape, float[] numbers) in Inputs(rows, rowLength))
        {
            byte[] codes = new byte[rows * rowLength];
            byte[] scales = new byte[rows * 4];
            byte[] unpacked = new byte[rows * rowLength * 4];
            MxPacking.Pack(shape.Write(numbers), shape.StrideBytes, shape.Type, rows, rowLength, code, rule, codes, scales);
            MxPacking.Unpack(codes, code, rows, rowLength, scales, unpacked, rowLength * 4, ElementType.Float32);
            ReadOnlySpan<float> back = MemoryMarshal.Cast<byte, float>(unpacked);
            for (int i = 0; i < numbers.Length; i++)
            {
                double x = numbers[i];
                if (!double.IsFinite(x) || Math.Abs(x) > 2e38)
                    continue;
                double scale = Math.ScaleB(1, scales[i / 32] - 127);
                double bound = StepBound(x, scale, code);
                // The floor rule saturates what lies beyond the largest code by more than half a step.
                if (rule == MxRule.Floor)
                    bound = Math.Max(bound, Math.Abs(x) / 8);
                // No operation rounds but the code's own.
                AssertWithin(Math.Abs(x - back[i]), bound, x, scale);
            }
        }
    }

    // Unit roundoff u = 2^-p gives u / (1 + u) of |x| in the normal range; below it, half the spacing of subnormal codes.
    static double StepBound(double x, double scale, ElementType code) => code switch
    {
        ElementType.Fp8E4M3 => Math.Max(Math.Abs(x) / 17, Math.ScaleB(scale, -10)),
        ElementType.Fp8E5M2 => Math.Max(Math.Abs(x) / 9, Math.ScaleB(scale, -17)),
        _ => scale / 2,
    };

    static double AmaxShare(ElementType code) => code switch
    {
        ElementType.Fp8E4M3 => 1.0 / 28,
        ElementType.Fp8E5M2 => 1.0 / 14,
        _ => 1.0 / 254,
    };

    static IEnumerable<(RowShape Shape, float[] Numbers)> Inputs(int rows, int rowLength)
    {
        var random = new Random(41);
        foreach (ElementType from in PackingMemory.Sources)
        {
            foreach (RowContent content in Enum.GetValues<RowContent>().Where(content => content != RowContent.NothingFinite))
            {
                RowShape shape = RowShape.WithGap(from, rows, rowLength, 0);
                byte[] bytes = shape.Write(content.Numbers(from, shape.Elements, random));
                yield return (shape, shape.Read(bytes));
            }
        }
    }

    static void AssertWithin(double error, double bound, double x, double scale)
    {
        if (!(error <= bound))
            Assert.Fail($"{x:R} came back {error:R} away with scale {scale:R}; the bound is {bound:R}.");
    }
}
