using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Prompts;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Workers;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Bench.Handoff;

/// <summary>
/// Real caches of the reference model, from a prefill process to a decode process, and the same prompts in one process. With an exact
/// codec the greedy tokens have to be equal; with a lossy one the difference is measured on held-out text.
/// </summary>
internal sealed class ReferenceHandoff(HandoffSettings settings, IJobDisplay display)
{
    private const int WarmUps = 2, WarmUpTokens = 64;
    private const int QualityPrefixTokens = 2048, QualityContinuationTokens = 512;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(150);

    internal async Task<ReferenceSection> RunAsync(ReferenceModel model, IList<string> failures, CancellationToken cancellationToken)
    {
        string codecName = settings.Codec ?? KvCodecs.Raw.Name;
        OfferedCodec codec = OfferedCodec.Find(codecName);
        (PromptShape Shape, int[] Tokens, int Completion)[] prompts = [.. settings.Prompts.Select(shape =>
            (shape, ByteTokenizer.Encode(PromptSet.Load(shape)), Math.Min(settings.Completion ?? int.MaxValue, shape.CompletionTokens)))];
        int capacity = Math.Max(prompts.Max(p => p.Tokens.Length + p.Completion), QualityPrefixTokens + QualityContinuationTokens);
        var rows = new List<PromptRow>();
        long prefilled = 0;
        using PagedKvCache cache = PagedKvCache.Allocate(model.Layout, capacity);
        await using (WorkerPair pair = await WorkerPair.StartAsync(ReferenceModel.Name, capacity, capacity, settings.Streams, codecName, settings.FirstTransport, Limit, display, cancellationToken))
        {
            await WarmUpAsync(pair, model, cache, prompts[0].Tokens[..Math.Min(WarmUpTokens, prompts[0].Tokens.Length)], cancellationToken);
            foreach ((PromptShape shape, int[] tokens, int completion) in prompts)
            {
                display.Begin($"handing {shape.Name} over: {tokens.Length} prompt tokens, {completion} to generate");
                (SentReply sent, GeneratedReply received, long requestedAt) = await pair.HandOffAsync<GeneratedReply>(
                    new ReceivePromptRequest(completion, [], settings.Fault), new SendPromptRequest(tokens, shape.Name, settings.LayerDelayMilliseconds), cancellationToken);
                SingleProcessRun single = await Task.Run(() => SingleProcessRun.Generate(model, cache, tokens, completion), cancellationToken);
                cancellationToken.ThrowIfCancellationRequested();
                PromptRow row = Row(shape, tokens, completion, sent, received, requestedAt, single);
                rows.Add(row);
                prefilled = received.PrefilledTokens;
                if (!codec.IsLossy && !row.TokensEqual)
                    failures.Add($"Prompt {shape.Name}: token {row.EqualTokens} differs from the single-process run ({row.EqualTokens} of {completion} equal from the start).");
                display.End(string.Create(CultureInfo.InvariantCulture, $"{(row.TokensEqual ? "tokens equal" : $"{row.TokenAgreement:P1} of tokens equal")}, first token after {row.TtftMs:0.0} ms, {row.TpotMs:0.00} ms per token, {row.Handoff.Bytes / 1e6:0.0} MB handed over"));
            }

            if (prefilled != 0) failures.Add($"The decode process prefilled {prefilled} tokens; expected 0.");
        }

        // The exact codec is proven by equality; what the lossy one costs in quality is shown in either case.
        QualityRow? quality = settings.Fault == LandedFault.None && (codec.IsLossy || settings.Model == HandoffSettings.All && settings.Codec is null)
            ? await QualityAsync(model, cache, codec.IsLossy ? codecName : KvCodecs.Fp8.Name, capacity, cancellationToken)
            : null;
        return new ReferenceSection
        {
            Model = ReferenceModel.FullName,
            Codec = codecName,
            TokensEqual = codec.IsLossy ? null : rows.All(r => r.TokensEqual),
            DecodePrefilledTokens = prefilled,
            Prompts = rows,
            Quality = quality,
        };
    }

    // The first request of a process pays for compiling its code; it is no part of what a handoff costs.
    private async Task WarmUpAsync(WorkerPair pair, ReferenceModel model, PagedKvCache cache, int[] tokens, CancellationToken cancellationToken)
    {
        display.Begin("warming all processes up");
        for (int run = 0; run < WarmUps; run++)
            await pair.HandOffAsync<GeneratedReply>(new ReceivePromptRequest(WarmUpTokens, [], LandedFault.None), new SendPromptRequest(tokens, "warm-up", 0), cancellationToken);
        await Task.Run(() => SingleProcessRun.Generate(model, cache, tokens, WarmUpTokens), cancellationToken);
        display.End($"{WarmUps} handoffs that do not count");
    }

    private async Task<QualityRow> QualityAsync(ReferenceModel model, PagedKvCache cache, string codec, int capacity, CancellationToken cancellationToken)
    {
        int[] text = ByteTokenizer.Encode(PromptSet.Load(PromptSet.HeldOut));
        int[] prefix = text[..QualityPrefixTokens], continuation = text[QualityPrefixTokens..(QualityPrefixTokens + QualityContinuationTokens + 1)];
        display.Begin($"held-out text over codec {codec}: {prefix.Length} tokens handed over, {continuation.Length - 1} read");
        await using WorkerPair pair = await WorkerPair.StartAsync(ReferenceModel.Name, capacity, capacity, settings.Streams, codec, settings.FirstTransport, Limit, display, cancellationToken);
        (_, GeneratedReply received, _) = await pair.HandOffAsync<GeneratedReply>(
            new ReceivePromptRequest(0, continuation, LandedFault.None), new SendPromptRequest(prefix, "held-out", 0), cancellationToken);
        Generation single = await Task.Run(() => SingleProcessRun.Read(model, cache, prefix, continuation), cancellationToken);
        int read = continuation.Length - 1;
        double before = Math.Exp(single.NegativeLogLikelihood / read), after = Math.Exp(received.NegativeLogLikelihood / read);
        var row = new QualityRow
        {
            Codec = codec,
            PrefixTokens = prefix.Length,
            ContinuationTokens = read,
            Top1Agreement = Agreement(single.Tokens, received.Tokens),
            PerplexitySingle = before,
            PerplexityHandedOver = after,
            PerplexityChangePercent = (after / before - 1) * 100,
        };
        display.End(string.Create(CultureInfo.InvariantCulture, $"top-1 agreement {row.Top1Agreement:P2}, perplexity {before:0.0000} to {after:0.0000} ({row.PerplexityChangePercent:+0.000;-0.000} %)"));
        return row;
    }

    private static PromptRow Row(PromptShape shape, int[] prompt, int completion, SentReply sent, GeneratedReply received, long requestedAt, SingleProcessRun single)
    {
        int[] expected = single.Generated.Tokens;
        int equal = expected.AsSpan().CommonPrefixLength(received.Tokens);
        double Milliseconds(long from, long to) => from == 0 || to == 0 ? 0 : Stopwatch.GetElapsedTime(from, to).TotalMilliseconds;
        return new PromptRow
        {
            Name = shape.Name,
            PromptTokens = prompt.Length,
            CompletionTokens = received.Tokens.Length,
            TokensEqual = expected.AsSpan().SequenceEqual(received.Tokens),
            EqualTokens = equal,
            TokenAgreement = Agreement(expected, received.Tokens),
            TtftMs = Milliseconds(requestedAt, received.CommittedAt),
            FirstDecodeMs = Milliseconds(received.CommittedAt, received.SecondTokenAt),
            TpotMs = Milliseconds(received.CommittedAt, received.LastTokenAt) / Math.Max(1, completion - 1),
            PrefillMs = sent.PrefillSeconds * 1e3,
            SinglePrefillMs = single.PrefillSeconds * 1e3,
            SingleTpotMs = single.SecondsPerToken * 1e3,
            Text = ByteTokenizer.Decode(received.Tokens),
            Handoff = new HandoffRow
            {
                Bytes = received.Cost.KvBytes,
                WireBytes = received.Cost.WireBytes,
                Seconds = sent.Cost.Seconds,
                ExposedSeconds = Math.Max(0, sent.Cost.Seconds - sent.PrefillSeconds),
                Phases = WorkerCosts.Merge(sent.Cost, received.Cost),
            },
        };
    }

    private static double Agreement(int[] expected, int[] actual)
    {
        int equal = 0;
        for (int i = 0; i < Math.Min(expected.Length, actual.Length); i++) equal += expected[i] == actual[i] ? 1 : 0;
        return expected.Length == 0 ? 1 : (double)equal / expected.Length;
    }
}
