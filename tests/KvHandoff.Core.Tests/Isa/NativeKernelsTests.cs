using KvHandoff.Attention;

namespace KvHandoff.Core.Tests.Isa;

public sealed class NativeKernelsTests
{
    /// <summary>Where the native kernels are expected (cmake and g++ are there), managed ones must not stand in for them unnoticed.</summary>
    [Fact]
    public void The_expected_kernels_are_in_use()
    {
        string? expected = Environment.GetEnvironmentVariable("KVHANDOFF_EXPECT_KERNELS");
        if (string.IsNullOrEmpty(expected)) return;
        Assert.True(AttentionKernels.InUse.StartsWith(expected, StringComparison.Ordinal), $"In use: {AttentionKernels.InUse}; expected: {expected}. {AttentionKernels.ReasonManaged}");
    }

    [Fact]
    public void What_is_in_use_is_supported()
    {
        if (AttentionKernels.ReasonManaged is null)
        {
            Assert.Contains(AttentionKernels.NativeTargets, t => t.Supported && AttentionKernels.InUse == $"native {t.Name}");
            return;
        }

        Assert.Equal($"managed {KvHandoff.Numerics.InstructionSet.Name}", AttentionKernels.InUse);
    }
}
