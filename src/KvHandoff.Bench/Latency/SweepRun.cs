using System.Globalization;
using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Workers;
using KvHandoff.Layout;

namespace KvHandoff.Bench.Latency;

/// <summary>Handoffs of the reference model's shape from one block to 64 MB, over each transport.</summary>
internal sealed class SweepRun(HandoffSettings settings, IJobDisplay display)
{
    private const long MostBytes = 64 << 20, BytesPerSize = 256 << 20;
    private const int LeastHandoffs = 8, MostHandoffs = 400, WarmUps = 3, SmallWarmUps = 1000, CachesAhead = 4;
    private const ulong Seed = 0x4B56_5357;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    internal async Task<(IReadOnlyList<SweepRow> Rows, IReadOnlyList<FitRow> Fits)> RunAsync(IReadOnlyList<string> transports, CancellationToken cancellationToken)
    {
        KvCacheLayout layout;
        using (ReferenceModel model = ReferenceModel.Load()) layout = model.Layout;
        int[] sizes = [.. Sizes(layout)];
        List<SweepRow> rows = [];
        foreach (string transport in transports)
        {
            display.Begin($"sweep over {transport}: {layout.BytesForTokens(sizes[0])} to {layout.BytesForTokens(sizes[^1])} bytes");
            await using WorkerPair pair = await WorkerPair.StartAsync(ReferenceModel.Name, sizes[^1], CachesAhead * sizes[^1], settings.Streams, "raw", transport, Limit, display, cancellationToken);
            // Code and pages of both sides.
            await pair.HandManyOffAsync(Seed, sizes[0], SmallWarmUps, cancellationToken);
            await pair.HandManyOffAsync(Seed, sizes[^1], CachesAhead, cancellationToken);
            List<SweepRow> own = [];
            foreach (int tokens in sizes) own.Add(await RowAsync(pair, transport, layout, tokens, cancellationToken));
            rows.AddRange(own);
            FitRow fit = LatencyFit.Of(transport, own);
            display.End(string.Create(CultureInfo.InvariantCulture, $"{fit.LatencyUs:0} us + bytes / {fit.Gbps:0.00} GB/s, worst residual {fit.WorstResidual * 100:0} %"));
        }

        return (rows, [.. transports.Select(t => LatencyFit.Of(t, [.. rows.Where(r => r.Transport == t)]))]);
    }

    private static async Task<SweepRow> RowAsync(WorkerPair pair, string transport, KvCacheLayout layout, int tokens, CancellationToken cancellationToken)
    {
        long bytes = layout.BytesForTokens(tokens);
        int handoffs = (int)Math.Clamp(BytesPerSize / bytes, LeastHandoffs, MostHandoffs);
        await pair.HandManyOffAsync(Seed, tokens, WarmUps, cancellationToken);
        (ManySentReply sent, ManyLandedReply landed) = await pair.HandManyOffAsync(Seed, tokens, handoffs, cancellationToken);
        LatencyRow row = LatencyRun.Row(transport, ReferenceModel.FullName, layout, tokens, sent, landed);
        return new SweepRow
        {
            Transport = transport,
            Tokens = tokens,
            Bytes = bytes,
            Handoffs = handoffs,
            P50Us = row.P50Us,
            P99Us = row.P99Us,
            Gbps = bytes / row.P50Us / 1e3,
            MessagesPerSecond = row.HandoffsPerSecond,
        };
    }

    // Each twice the one before; the last as many whole blocks as 64 MiB hold.
    private static IEnumerable<int> Sizes(KvCacheLayout layout)
    {
        int block = KvSegment.GranuleTokens, most = (int)(MostBytes / layout.BytesForTokens(block)) * block;
        for (int tokens = block; tokens < most; tokens *= 2) yield return tokens;
        yield return most;
    }
}
