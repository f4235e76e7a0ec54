using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>The spans of a packing kernel, each in memory of its own, and what every test of packing is made of.</summary>
sealed class PackingMemory : IDisposable
{
    public PackingMemory(int sourceBytes = 1 << 19, int scaleBytes = 1 << 16)
    {
        Source = new GuardedArea(sourceBytes);
        Codes = new GuardedArea(sourceBytes);
        Scales = new GuardedArea(scaleBytes);
        Inverses = new GuardedArea(scaleBytes);
        Destination = new GuardedArea(sourceBytes);
    }

    public static ElementType[] Sources { get; } = [ElementType.BFloat16, ElementType.Float16, ElementType.Float32];

    public static ElementType[] CodeTypes { get; } = [ElementType.Fp8E4M3, ElementType.Fp8E5M2, ElementType.Int8];

    public static ScaleType[] ScaleTypes { get; } = [ScaleType.Float32, ScaleType.BFloat16];

    /// <summary>Where spans lie: against either guard page, or at a start that is aligned to nothing.</summary>
    public static int[] Offsets { get; } = [GuardedArea.AtEnd, 0, 1, 37];

    public GuardedArea Source { get; }

    public GuardedArea Codes { get; }

    public GuardedArea Scales { get; }

    public GuardedArea Inverses { get; }

    public GuardedArea Destination { get; }

    public static void AssertCodes(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> found, ReadOnlySpan<float> numbers, string what)
    {
        int at = expected.CommonPrefixLength(found);
        if (at != expected.Length)
            Assert.Fail($"{what}: {numbers[at]:R} at {at} became {found[at]:X2}, not {expected[at]:X2}.");
        Assert.Equal(expected.Length, found.Length);
    }

    public static void AssertScales(ReadOnlySpan<float> expected, ReadOnlySpan<float> found, string what)
    {
        Assert.Equal(expected.Length, found.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToUInt32Bits(expected[i]) != BitConverter.SingleToUInt32Bits(found[i]))
                Assert.Fail($"{what}: scale {i} is {found[i]:R}, not {expected[i]:R}.");
        }
    }

    public void AssertNothingAround()
    {
        Source.AssertNothingAround();
        Codes.AssertNothingAround();
        Scales.AssertNothingAround();
        Inverses.AssertNothingAround();
        Destination.AssertNothingAround();
    }

    public void Dispose()
    {
        Source.Dispose();
        Codes.Dispose();
        Scales.Dispose();
        Inverses.Dispose();
        Destination.Dispose();
    }
}
