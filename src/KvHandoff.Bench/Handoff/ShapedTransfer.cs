using System.Globalization;
using KvHandoff.Bench.Latency;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Bench.Workers;
using KvHandoff.Codec;

namespace KvHandoff.Bench.Handoff;

/// <summary>
/// A published model's cache shape, synthesised in the prefill process and handed to the decode process, whose pool is poisoned first
/// and which then compares every byte with what the seed gives.
/// </summary>
internal sealed class ShapedTransfer(HandoffSettings settings, string transport, IJobDisplay display)
{
    private const ulong Seed = 0x4B564F46;
    // The receiver may still hold what was just committed when the next offer comes.
    private const int PromptsInFlight = 4;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    /// <summary>Hands the cache over, uncoded in turns with the transport's bare loop; then a short prompt of the same model.</summary>
    internal async Task<(TransferRow Transfer, LatencyRow? ShortPrompt)> RunAsync(string codec, int samples, LimitsSection limits, IList<string> failures, CancellationToken cancellationToken)
    {
        ShapedModel model = ShapedModel.Find(settings.ShapedModelName);
        int tokens = settings.Tokens;
        display.Begin(string.Create(CultureInfo.InvariantCulture, $"handing a {model.Name} cache over: {tokens} tokens, {model.Layout.BytesForTokens(tokens) / 1e6:0.0} MB, {transport}, codec {codec}"));
        await using WorkerPair pair = await WorkerPair.StartAsync(model.Name, tokens, Math.Max(tokens, PromptsInFlight * ShortPrompt.Tokens), settings.Streams, codec, transport, Limit, display, cancellationToken);
        bool isRaw = codec == KvCodecs.Raw.Name;
        await using BareLoop? loop = isRaw ? await BareLoop.OpenAsync(transport, cancellationToken) : null;
        List<double> bare = [], verifying = [];
        var runs = new List<(SentReply Sent, LandedReply Landed)>();
        for (int run = 0; run <= samples; run++)
        {
            // The first sample warms the loop up, as the first run does the processes.
            if (loop is not null) bare.Add(BareLoop.SampleBytes / await loop.SecondsAsync(BareLoop.SampleBytes, cancellationToken) / 1e9);
            if (loop is not null && run > 0 && await loop.CheckedSecondsAsync(BareLoop.SampleBytes, cancellationToken) is { } seconds) verifying.Add(BareLoop.SampleBytes / seconds / 1e9);
            (SentReply sent, LandedReply landed, _) = await pair.HandOffAsync<LandedReply>(new ReceiveShapedRequest(Seed, tokens, codec),
                new SendShapedRequest(Seed, tokens, $"{model.Name}/{run}", settings.LayerDelayMilliseconds), cancellationToken);
            runs.Add((sent, landed));
            Check(model.Name, $"{transport}, {codec}", run, landed, model.Layout.BytesForTokens(tokens), failures);
            display.Note(string.Create(CultureInfo.InvariantCulture, $"{(run == 0 ? "warm-up" : $"run {run}")}: {sent.Cost.Seconds:0.000} s, {landed.BytesCompared} bytes compared, {landed.DifferentBytes} differ"));
        }

        TransferRow row = Row(model.Name, codec, runs, limits);
        if (loop is not null) row = row with { Bare = loop.Name, BareGbps = Median.Of(bare[1..]), OfBare = row.Gbps / Median.Of(bare[1..]) };
        if (verifying.Count > 0) row = row with { OfVerifyingBare = row.Gbps / Median.Of(verifying) };
        display.End(string.Create(CultureInfo.InvariantCulture, $"{row.Seconds:0.000} s, {row.Gbps:0.00} GB/s = {row.OfTcpLoopback:0.00}x bare TCP loopback, {row.OfMemcpy:0.00}x memcpy{(row.OfBare is { } ofBare ? string.Create(CultureInfo.InvariantCulture, $", {ofBare:0.00}x {row.Bare}") : "")}{(row.OfVerifyingBare is { } ofVerifying ? string.Create(CultureInfo.InvariantCulture, $", {ofVerifying:0.00}x the same with checksums") : "")}, {(row.Verified ? "every byte equal" : "BYTES DIFFER")}"));
        bool fits = loop is not null && tokens >= ShortPrompt.Tokens;
        return (row, fits ? await new ShortPrompt(display).RunAsync(pair, model, transport, loop!, cancellationToken) : null);
    }

    private static void Check(string model, string how, int run, LandedReply landed, long expectedBytes, IList<string> failures)
    {
        if (landed.DifferentBytes + landed.TailBytesChanged > 0)
            failures.Add($"Transfer {model}, {how}, run {run}: {landed.DifferentBytes} of {landed.BytesCompared} bytes differ, {landed.TailBytesChanged} bytes behind the last token were overwritten; first: {landed.FirstDifference}.");
        if (landed.BytesCompared != expectedBytes) failures.Add($"Transfer {model}, {how}, run {run}: {landed.BytesCompared} bytes were compared; expected {expectedBytes}.");
        if (landed.SocketBytes < landed.Cost.WireBytes)
            failures.Add($"Transfer {model}, {how}, run {run}: the sockets delivered {landed.SocketBytes} bytes; {landed.Cost.WireBytes} were accounted as received.");
    }

    private TransferRow Row(string model, string codec, List<(SentReply Sent, LandedReply Landed)> runs, LimitsSection limits)
    {
        double[] seconds = [.. runs.Skip(1).Select(r => r.Sent.Cost.Seconds)];
        double median = Median.Of(seconds);
        // Phases of the run that is the median.
        (SentReply sent, LandedReply landed) = runs.Skip(1).MinBy(r => Math.Abs(r.Sent.Cost.Seconds - median));
        double gbps = sent.Cost.KvBytes / median / 1e9;
        return new TransferRow
        {
            Model = model,
            Tokens = settings.Tokens,
            KvBytes = landed.Cost.KvBytes,
            WireBytes = landed.Cost.WireBytes,
            SocketBytes = landed.SocketBytes,
            Codec = codec,
            Transport = transport,
            Streams = settings.Streams,
            Seconds = median,
            Gbps = gbps,
            OfMemcpy = gbps / limits.MemcpyGbps,
            OfTcpLoopback = gbps / limits.TcpLoopbackGbps,
            Phases = WorkerCosts.Merge(sent.Cost, landed.Cost),
            CpuSecondsPerGb = (sent.CpuSeconds + landed.CpuSeconds) / (landed.Cost.KvBytes / 1e9),
            BytesCopiedPerByte = (double)sent.Cost.BytesCopied / landed.Cost.KvBytes,
            Verified = runs.All(r => r.Landed.DifferentBytes + r.Landed.TailBytesChanged == 0),
            BytesCompared = landed.BytesCompared,
            TailBytesChecked = landed.TailBytesChecked,
            SecondsSamples = seconds,
            WarmUpSeconds = runs[0].Sent.Cost.Seconds,
        };
    }
}
