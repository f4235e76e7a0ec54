using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Isa;

/// <summary>
/// The whole suite runs once for each instruction set, narrowed by DOTNET_EnableAVX512=0, DOTNET_EnableAVX2=0 or
/// DOTNET_EnableHWIntrinsic=0. A misspelt switch is ignored by the runtime, so each row says here what it expects to be.
/// </summary>
public class IsaRowTests
{
    const string Variable = "KVHANDOFF_EXPECT_ISA";

    static int WidestAccelerated =>
        Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 0;

    [Fact]
    public void The_row_runs_at_the_width_it_names()
    {
        string? expected = Environment.GetEnvironmentVariable(Variable);
        int actual = InstructionSet.VectorBits;
        switch (expected)
        {
            case null or "":
                break;
            case "best":
                Assert.Equal(WidestAccelerated, actual);
                break;
            case "avx2":
                Assert.Equal(Avx2.IsSupported ? 256 : Vector128.IsHardwareAccelerated ? 128 : 0, actual);
                break;
            case "vector128":
                Assert.Equal(128, actual);
                break;
            case "scalar":
                Assert.Equal(0, actual);
                break;
            default:
                Assert.Fail($"{Variable} is '{expected}', not best, avx2, vector128 or scalar.");
                break;
        }
    }

    [Fact]
    public void Width_and_name_agree_with_each_other_and_with_the_runtime()
    {
        Assert.Equal(WidestAccelerated, InstructionSet.VectorBits);
        string name = InstructionSet.VectorBits switch { 512 => "avx512", 256 => "avx2", 128 => "vector128", _ => "scalar" };
        Assert.Equal(name, InstructionSet.Name);
    }
}
