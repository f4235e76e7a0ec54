using System.Globalization;
using KvHandoff.Attention;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>What was measured in turns with a step, and therefore under the same load.</summary>
/// <param name="Clock">What all times are.</param>
/// <param name="ReadSeconds">Reading the step's bytes.</param>
/// <param name="PeakSeconds">As many multiply-adds as the step has, on registers; empty where it was not measured.</param>
/// <param name="YardstickSeconds">The step on BF16 rows by the native kernel; null where there is none.</param>
internal sealed record AttentionTurn(string Clock, double[] ReadSeconds, double[] PeakSeconds, double? YardstickSeconds);

/// <summary>Makes result rows of times.</summary>
internal static class AttentionRows
{
    internal static KernelRow Row(AttentionCase what, string name, string implementation, double[] seconds, AttentionTurn turn, double error, double? quantised, long allocated)
    {
        double median = Median.Of(seconds), read = Median.Of(turn.ReadSeconds);
        double? peak = turn.PeakSeconds.Length == 0 ? null : Median.Of(turn.PeakSeconds);
        // The limit that takes longer is the nearer one.
        (string limit, double[] limitSeconds) = peak > read ? ("fma", turn.PeakSeconds) : ("read", turn.ReadSeconds);
        double Rate(double time) => what.Bytes / time / 1e9;
        return new KernelRow
        {
            Name = name,
            Isa = InstructionSet.Name,
            VectorBits = InstructionSet.VectorBits,
            Implementation = implementation,
            Gbps = Rate(median),
            Limit = limit,
            LimitGbps = Rate(Median.Of(limitSeconds)),
            Ratio = Rate(median) / Rate(Median.Of(limitSeconds)),
            AllocatedBytes = allocated,
            CountedBytes = what.Bytes,
            Counts = "K and V as stored",
            WorkingSet = string.Create(CultureInfo.InvariantCulture, $"{what.Tokens} tokens"),
            Data = "seeded cache, key channel outliers, blocks of 64 in random order",
            Attention = new AttentionFigures
            {
                Shape = what.Shape.Name,
                Stored = what.Stored.Name,
                Tokens = what.Tokens,
                Threads = what.Threads,
                Weights = what.Weights == SoftmaxWeights.BFloat16 ? "bf16" : "fp32",
                Clock = turn.Clock,
                NanosecondsPerToken = median * 1e9 / what.Tokens,
                OfNativeBf16 = turn.YardstickSeconds / median,
                MultiplyAdds = what.MultiplyAdds,
                GigaMultiplyAdds = what.MultiplyAdds / median / 1e9,
                ReadGbps = Rate(read),
                OfRead = read / median,
                PeakGigaMultiplyAdds = what.MultiplyAdds / peak / 1e9,
                OfPeak = peak / median,
                MaxError = error,
                MaxErrorWithQuantisation = quantised,
            },
            GbpsSamples = [.. seconds.Select(Rate)],
            LimitGbpsSamples = [.. limitSeconds.Select(Rate)],
        };
    }
}
