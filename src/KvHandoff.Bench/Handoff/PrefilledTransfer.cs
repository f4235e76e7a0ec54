using System.Globalization;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Bench.Workers;

namespace KvHandoff.Bench.Handoff;

/// <summary>
/// A published model's cache written straight into the receiver's blocks over shared memory, once verified and once on trust: what a handoff costs
/// when nothing is copied.
/// </summary>
internal sealed class PrefilledTransfer(HandoffSettings settings, IJobDisplay display)
{
    // The first one finds the pages new.
    private const int WarmUps = 1, Handoffs = 3;
    private const ulong Seed = 0x4B56_5046;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    internal async Task<IReadOnlyList<PrefilledRow>> RunAsync(LimitsSection limits, CancellationToken cancellationToken)
    {
        ShapedModel model = ShapedModel.Find(settings.ShapedModelName);
        int tokens = settings.Tokens;
        long bytes = model.Layout.BytesForTokens(tokens);
        var rows = new List<PrefilledRow>();
        foreach (bool trust in (bool[])[false, true])
        {
            display.Begin(string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.0} MB of {model.Name} prefilled straight into the receiver's blocks, which {(trust ? "trusts the sender" : "verifies")}"));
            // The sender keeps nothing: one block of room is enough for it.
            await using WorkerPair pair = await WorkerPair.StartAsync(model.Name, 64, tokens, 1, "raw", WorkerTransport.SharedMemory, Limit, display, cancellationToken, trust);
            (ManySentReply sent, _) = await pair.HandPrefilledOffAsync(Seed, tokens, WarmUps + Handoffs, cancellationToken);
            double[] seconds = sent.Seconds[WarmUps..];
            double median = Median.Of(seconds);
            PrefilledRow row = new()
            {
                Model = model.Name,
                Tokens = tokens,
                Bytes = bytes,
                SameHostTrust = trust,
                Seconds = median,
                Gbps = bytes / median / 1e9,
                OfRead = bytes / median / 1e9 / limits.ReadGbps,
                SecondsSamples = seconds,
            };
            rows.Add(row);
            display.End(string.Create(CultureInfo.InvariantCulture, $"{median * 1e3:0.0} ms from publishing to the verdict, {row.Gbps:0.0} GB/s = {row.OfRead:0.00}x reading"));
        }

        return rows;
    }
}
