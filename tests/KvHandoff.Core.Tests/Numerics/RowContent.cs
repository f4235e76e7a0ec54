using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>What rows of a test hold.</summary>
enum RowContent
{
    /// <summary>Magnitudes over sixteen binades, as cache rows have them.</summary>
    Cache,
    Zeros,
    NegativeZeros,
    Subnormals,

    /// <summary>Up to the largest finite number, which is among them.</summary>
    Huge,

    /// <summary>One number a million times the others.</summary>
    Outlier,

    /// <summary>NaNs and infinities of both signs among others.</summary>
    Specials,
    NothingFinite,

    /// <summary>Random bits.</summary>
    Bits,

    /// <summary>Any of the others, in runs of random length.</summary>
    Mixed,
}

static class RowContents
{
    static readonly float[] Specials = [float.NaN, -float.NaN, float.PositiveInfinity, float.NegativeInfinity];

    public static float[] Numbers(this RowContent content, ElementType type, int count, Random random)
    {
        float[] numbers = new float[count];
        int runs = content == RowContent.Mixed ? 0 : count;
        RowContent current = content;
        for (int i = 0; i < count; i++)
        {
            if (content == RowContent.Mixed && runs-- == 0)
            {
                current = (RowContent)random.Next((int)RowContent.Mixed);
                runs = random.Next(64);
            }

            numbers[i] = current.Number(type, i, random);
        }

        return numbers;
    }

    static float Number(this RowContent content, ElementType type, int index, Random random) => content switch
    {
        RowContent.Cache => Cache(random),
        RowContent.Zeros => 0f,
        RowContent.NegativeZeros => random.Next(2) == 0 ? -0f : 0f,
        RowContent.Subnormals => (float)(Epsilon(type) * random.Next(-100, 101)),
        RowContent.Huge => index % 13 == 5 ? -Largest(type) : Largest(type) * ((2 * random.NextSingle()) - 1),
        RowContent.Outlier => index % 97 == 11 ? 30_000f : 0.03f * ((2 * random.NextSingle()) - 1),
        RowContent.Specials => random.Next(6) == 0 ? Specials[random.Next(4)] : Cache(random),
        RowContent.NothingFinite => Specials[random.Next(4)],
        _ => type == ElementType.Float16
            ? (float)BitConverter.UInt16BitsToHalf((ushort)random.Next(65536))
            : BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)),
    };

    static float Cache(Random random) => (random.NextSingle() - 0.5f) * MathF.Pow(2, random.Next(-12, 5));

    static float Largest(ElementType type) => type switch
    {
        ElementType.Float32 => float.MaxValue,
        ElementType.Float16 => 65504f,
        _ => BitConverter.UInt32BitsToSingle(0x7F7F_0000),
    };

    static double Epsilon(ElementType type) =>
        Math.ScaleB(1, type switch { ElementType.Float32 => -149, ElementType.Float16 => -24, _ => -133 });
}
