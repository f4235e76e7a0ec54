using System.Globalization;
using System.Text.Json;
using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Latency;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Workers;
using KvHandoff.Layout;

namespace KvHandoff.Bench.Calibration;

/// <summary>
/// A sweep whose sizes take turns: each round hands every size over a few times, so that whatever else the machine does meets the sizes that are fitted and the
/// sizes that are held out alike. Medians over all rounds.
/// </summary>
internal sealed class InterleavedSweep(IJobDisplay display)
{
    private const int Rounds = 16, LeastHandoffs = 2, MostHandoffs = 24, WarmUps = 400;
    private const long BytesPerTurn = 8 << 20;
    private const ulong Seed = 0x4B56_4341;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    // Blocks of 64 tokens; with 393,216 bytes each in the reference model's shape from 0.4 to 50 MB.
    private static readonly int[] Blocks = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

    internal async Task<IReadOnlyList<SweepRow>> RunAsync(IReadOnlyList<string> transports, CancellationToken cancellationToken)
    {
        KvCacheLayout layout;
        using (ReferenceModel model = ReferenceModel.Load()) layout = model.Layout;
        int[] sizes = [.. Blocks.Select(b => b * KvSegment.GranuleTokens)];
        var rows = new List<SweepRow>();
        foreach (string transport in transports)
        {
            display.Begin(string.Create(CultureInfo.InvariantCulture, $"{Rounds} rounds of {sizes.Length} sizes over {transport}"));
            await using WorkerPair pair = await WorkerPair.StartAsync(ReferenceModel.Name, sizes[^1], 4 * sizes[^1], 1, "raw", transport, Limit, display, cancellationToken);
            await pair.HandManyOffAsync(Seed, sizes[0], WarmUps, cancellationToken);
            await pair.HandManyOffAsync(Seed, sizes[^1], 4, cancellationToken);
            var seconds = sizes.ToDictionary(s => s, _ => new List<double>());
            var rates = sizes.ToDictionary(s => s, _ => new List<double>());
            for (int round = 0; round < Rounds; round++)
            {
                foreach (int tokens in sizes)
                {
                    int handoffs = (int)Math.Clamp(BytesPerTurn / layout.BytesForTokens(tokens), LeastHandoffs, MostHandoffs);
                    (ManySentReply sent, _) = await pair.HandManyOffAsync(Seed, tokens, handoffs, cancellationToken);
                    seconds[tokens].AddRange(sent.Seconds);
                    rates[tokens].Add(handoffs / sent.TotalSeconds);
                }
            }

            rows.AddRange(sizes.Select(tokens => new SweepRow
            {
                Transport = transport,
                Tokens = tokens,
                Bytes = layout.BytesForTokens(tokens),
                Handoffs = seconds[tokens].Count,
                P50Us = Median.Of(seconds[tokens]) * 1e6,
                P99Us = LatencyRun.Percentile(seconds[tokens], 0.99) * 1e6,
                Gbps = layout.BytesForTokens(tokens) / Median.Of(seconds[tokens]) / 1e9,
                MessagesPerSecond = Median.Of(rates[tokens]),
            }));
            display.End("done");
        }

        return rows;
    }

    /// <summary>As <see cref="SweepCalibration.Read"/> takes it.</summary>
    internal static string ToJson(IReadOnlyList<SweepRow> rows) =>
        JsonSerializer.Serialize(new { Schema = Summary.CurrentSchema, Command = "plan --measure", Environment = MachineDescription.Describe(), Sweep = rows }, Summary.Options);
}
