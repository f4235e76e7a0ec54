namespace KvHandoff.Tests.Attention;

/// <summary>Compares results bit by bit; two NaNs are equal.</summary>
static class AttentionBits
{
    public static void Same(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]) && !(float.IsNaN(expected[i]) && float.IsNaN(actual[i])))
                Assert.Fail($"{what}: element {i} is {actual[i]:R}; expected the bits of {expected[i]:R}.");
        }
    }
}
