using System.Globalization;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Bench.Workers;

namespace KvHandoff.Bench.Latency;

/// <summary>A short prompt of a large model, in turns with the same bytes through the bare loop of the transport.</summary>
internal sealed class ShortPrompt(IJobDisplay display)
{
    internal const int Tokens = 128;

    private const int Turns = 6, HandoffsPerTurn = 3, WarmUps = 4;
    private const ulong Seed = 0x4B56_5350;

    /// <summary>Uses a pair that is open for the model.</summary>
    /// <param name="pair">With room for several such prompts.</param>
    /// <param name="model">Whose cache.</param>
    /// <param name="transport">Of the pair.</param>
    /// <param name="loop">Of the same transport.</param>
    /// <param name="cancellationToken">Cancels.</param>
    internal async Task<LatencyRow> RunAsync(WorkerPair pair, ShapedModel model, string transport, BareLoop loop, CancellationToken cancellationToken)
    {
        long bytes = model.Layout.BytesForTokens(Tokens);
        display.Begin($"handing {Tokens} tokens of {model.Name} over, {transport}, in turns with {loop.Name}");
        await pair.HandManyOffAsync(Seed, Tokens, WarmUps, cancellationToken);
        await loop.SecondsAsync(bytes, cancellationToken);
        List<double> seconds = [], bare = [];
        double total = 0;
        long sentBytes = 0, landedBytes = 0;
        ManySentReply? sent = null;
        ManyLandedReply? landed = null;
        for (int turn = 0; turn < Turns; turn++)
        {
            bare.Add(await loop.SecondsAsync(bytes, cancellationToken));
            (sent, landed) = await pair.HandManyOffAsync(Seed, Tokens, HandoffsPerTurn, cancellationToken);
            seconds.AddRange(sent.Seconds);
            total += sent.TotalSeconds;
            sentBytes += sent.AllocatedBytes;
            landedBytes += landed.AllocatedBytes;
        }

        ManySentReply all = sent! with { Seconds = [.. seconds], TotalSeconds = total, AllocatedBytes = sentBytes };
        LatencyRow row = LatencyRun.Row(transport, model.Name, model.Layout, Tokens, all, landed! with { AllocatedBytes = landedBytes });
        double bareUs = Median.Of(bare) * 1e6;
        row = row with { Bare = loop.Name, BareUs = bareUs, OfBare = row.P50Us / bareUs };
        display.End(string.Create(CultureInfo.InvariantCulture, $"median {row.P50Us / 1e3:0.0} ms, bare {bareUs / 1e3:0.0} ms: {row.OfBare:0.00}x its time"));
        return row;
    }
}
