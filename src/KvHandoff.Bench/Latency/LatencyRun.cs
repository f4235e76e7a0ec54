using System.Globalization;
using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Bench.Workers;
using KvHandoff.Layout;

namespace KvHandoff.Bench.Latency;

/// <summary>Small handoffs: one block of the reference model, from the offer to the verdict, and what each further block allocates.</summary>
internal sealed class LatencyRun(HandoffSettings settings, IJobDisplay display)
{
    private const int WarmUps = 2000, Handoffs = 2000, LargeTokens = 64 * 64, LargeHandoffs = 20, LargeWarmUps = 4;
    private const ulong Seed = 0x4B56_4C54;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    internal async Task<LatencyRow> RunAsync(string transport, KvCacheLayout layout, CancellationToken cancellationToken)
    {
        display.Begin($"{Handoffs} handoffs of one block over {transport}");
        await using WorkerPair pair = await WorkerPair.StartAsync(ReferenceModel.Name, LargeTokens, 4 * LargeTokens, settings.Streams, "raw", transport, Limit, display, cancellationToken);
        int tokens = KvSegment.GranuleTokens;
        await pair.HandManyOffAsync(Seed, LargeTokens, LargeWarmUps, cancellationToken);
        (ManySentReply large, ManyLandedReply largeLanded) = await pair.HandManyOffAsync(Seed, LargeTokens, LargeHandoffs, cancellationToken);
        await pair.HandManyOffAsync(Seed, tokens, WarmUps, cancellationToken);
        (ManySentReply sent, ManyLandedReply landed) = await pair.HandManyOffAsync(Seed, tokens, Handoffs, cancellationToken);

        LatencyRow row = Row(transport, ReferenceModel.FullName, layout, tokens, sent, landed) with
        {
            AllocatedBytesPerBlock = (PerHandoff(large, largeLanded) - PerHandoff(sent, landed)) / (Frames(layout, LargeTokens) - Frames(layout, tokens)),
        };
        display.End(string.Create(CultureInfo.InvariantCulture, $"median {row.P50Us:0} us, 99th percentile {row.P99Us:0} us, {row.AllocatedBytesPerHandoff:0} bytes allocated per handoff and {row.AllocatedBytesPerBlock:0.0} per further block"));
        return row;
    }

    internal static LatencyRow Row(string transport, string model, KvCacheLayout layout, int tokens, ManySentReply sent, ManyLandedReply landed) => new()
    {
        Transport = transport,
        Model = model,
        Tokens = tokens,
        Bytes = layout.BytesForTokens(tokens),
        Frames = Frames(layout, tokens),
        Handoffs = sent.Seconds.Length,
        P50Us = Median.Of(sent.Seconds) * 1e6,
        P99Us = Percentile(sent.Seconds, 0.99) * 1e6,
        HandoffsPerSecond = sent.Seconds.Length / sent.TotalSeconds,
        AllocatedBytesPerHandoff = PerHandoff(sent, landed),
        Phases = WorkerCosts.Merge(sent.Cost, landed.Cost),
    };

    /// <summary>The sample below which that share of all samples lies, and no other in between.</summary>
    internal static double Percentile(IReadOnlyCollection<double> samples, double share) => samples.Order().ElementAt(Math.Max(0, (int)Math.Ceiling(share * samples.Count) - 1));

    private static double PerHandoff(ManySentReply sent, ManyLandedReply landed) => (double)(sent.AllocatedBytes + landed.AllocatedBytes) / sent.Seconds.Length;

    private static int Frames(KvCacheLayout layout, int tokens) => layout.LayerCount * KvSegment.GranuleCount(tokens);
}
