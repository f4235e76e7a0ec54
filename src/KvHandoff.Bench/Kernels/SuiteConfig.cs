using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace KvHandoff.Bench.Kernels;

/// <summary>How BenchmarkDotNet runs the suites: in this process and briefly, unless the command line names a job.</summary>
internal static class SuiteConfig
{
    private const int WarmUps = 4, Iterations = 9;
    private static readonly string[] JobArguments = ["-j", "--job", "-i", "--inProcess", "-r", "--runtimes", "--toolchains"];

    internal static IConfig For(IReadOnlyList<string> arguments)
    {
        ManualConfig config = ManualConfig.Create(DefaultConfig.Instance).AddColumn(RateColumn.Gbps, RateColumn.OfLimit);
        return arguments.Any(JobArguments.Contains)
            ? config
            : config.AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithLaunchCount(1).WithWarmupCount(WarmUps).WithIterationCount(Iterations));
    }
}
