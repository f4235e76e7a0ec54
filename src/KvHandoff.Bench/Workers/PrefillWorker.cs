using System.Diagnostics;
using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Bench.Workers;

/// <summary>The prefill process: computes or synthesises a cache and hands it over layer by layer.</summary>
internal sealed class PrefillWorker(Action<WorkerMessage> reply) : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    private ReferenceModel? _model;
    private PagedKvCache? _cache;
    private KvSender? _sender;
    private KvSequence? _shaped;
    private (ulong Seed, int Tokens) _shapedOf;

    internal async Task HandleAsync(WorkerMessage request)
    {
        switch (request)
        {
            case OpenPrefillRequest open: await OpenAsync(open); break;
            case SendPromptRequest prompt: await SendPromptAsync(prompt); break;
            case SendShapedRequest shaped: await SendShapedAsync(shaped); break;
            case SendManyRequest many: await SendManyAsync(many); break;
            case SendPrefilledRequest prefilled: await SendPrefilledAsync(prefilled); break;
            default: throw new InvalidOperationException($"A prefill worker was asked {request.GetType().Name}.");
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_sender is not null) await _sender.DisposeAsync();
        _shaped?.Dispose();
        _model?.Dispose();
        _cache?.Dispose();
    }

    private async Task OpenAsync(OpenPrefillRequest open)
    {
        if (open.Model == ReferenceModel.Name) _model = ReferenceModel.Load();
        KvCacheLayout layout = _model?.Layout ?? ShapedModel.Find(open.Model).Layout;
        _cache = PagedKvCache.Allocate(layout, open.CapacityTokens);
        _sender = await KvSender.ConnectAsync(open.Endpoint, _cache, new KvSenderOptions { Name = "prefill", Streams = open.Streams, Codec = OfferedCodec.Find(open.Codec).Id, Transport = WorkerTransport.Options(open.Certificate) });
        reply(new OpenedReply(open.Endpoint));
    }

    private async Task SendPromptAsync(SendPromptRequest request)
    {
        (PagedKvCache cache, KvSender sender) = Opened();
        using KvSequence sequence = cache.CreateSequence();
        if (!sequence.TryReserve(request.Prompt.Length)) throw new InvalidOperationException($"{request.Prompt.Length} tokens do not fit; {cache.FreeTokens} are free.");
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence,
            new HandoffOffer { TotalTokens = request.Prompt.Length, Deadline = Deadline, RequestId = request.RequestId });
        long started = Stopwatch.GetTimestamp();
        int first = _model!.Prefill(sequence, request.Prompt, layer =>
        {
            if (request.LayerDelayMilliseconds > 0) Thread.Sleep(request.LayerDelayMilliseconds);
            outgoing.Publish(layer, request.Prompt.Length);
        });
        double prefillSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        HandoffCost cost = await outgoing.CommitAsync(new HandoffManifest([.. request.Prompt], request.Prompt.Length, first));
        reply(new SentReply(prefillSeconds, 0, WorkerCosts.From(cost)));
    }

    private async Task SendShapedAsync(SendShapedRequest request)
    {
        (PagedKvCache cache, KvSender sender) = Opened();
        KvSequence sequence = Shaped(cache, request.Seed, request.Tokens);
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence,
            new HandoffOffer { TotalTokens = request.Tokens, Deadline = Deadline, RequestId = request.RequestId });
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            if (request.LayerDelayMilliseconds > 0) await Task.Delay(request.LayerDelayMilliseconds);
            outgoing.Publish(layer, request.Tokens);
        }

        HandoffCost cost = await outgoing.CommitAsync(new HandoffManifest([.. new int[request.Tokens]], request.Tokens));
        reply(new SentReply(0, (Environment.CpuUsage.TotalTime - cpu).TotalSeconds, WorkerCosts.From(cost)));
    }

    private async Task SendManyAsync(SendManyRequest request)
    {
        (PagedKvCache cache, KvSender sender) = Opened();
        KvSequence sequence = Shaped(cache, request.Seed, request.Tokens);
        // Without token ids: what is measured is the cache, and every handoff sends the same.
        var manifest = new HandoffManifest([], request.Tokens);
        var offer = new HandoffOffer { TotalTokens = request.Tokens, Deadline = Deadline, WaitForRoom = Deadline };
        var seconds = new double[request.Handoffs];
        HandoffCost cost = default!;
        long allocated = GC.GetTotalAllocatedBytes(precise: true), started = Stopwatch.GetTimestamp();
        for (int i = 0; i < seconds.Length; i++)
        {
            long offeredAt = Stopwatch.GetTimestamp();
            await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, offer with { HandoffId = Guid.NewGuid() });
            for (int layer = 0; layer < cache.Layout.LayerCount; layer++) outgoing.Publish(layer, request.Tokens);
            cost = await outgoing.CommitAsync(manifest);
            seconds[i] = Stopwatch.GetElapsedTime(offeredAt).TotalSeconds;
        }

        double total = Stopwatch.GetElapsedTime(started).TotalSeconds;
        reply(new ManySentReply(seconds, total, GC.GetTotalAllocatedBytes(precise: true) - allocated, WorkerCosts.From(cost)));
    }

    // As a prefill does whose kernels write the rows where they are to lie: what is timed begins when they lie there.
    private async Task SendPrefilledAsync(SendPrefilledRequest request)
    {
        (PagedKvCache cache, KvSender sender) = Opened();
        var synthesizer = new CacheSynthesizer(cache.Layout, request.Seed);
        var manifest = new HandoffManifest([], request.Tokens);
        var seconds = new double[request.Handoffs];
        HandoffCost cost = default!;
        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < seconds.Length; i++)
        {
            await using OutgoingHandoff outgoing = await sender.OfferInPlaceAsync(new HandoffOffer { TotalTokens = request.Tokens, Deadline = Deadline, WaitForRoom = Deadline });
            Parallel.For(0, cache.Layout.LayerCount, layer =>
            {
                if (!outgoing.Write(layer, target => synthesizer.FillLayer(layer, target, request.Tokens)))
                    throw new InvalidOperationException($"Handoff {outgoing.Id} ended while its rows were written.");
            });
            long published = Stopwatch.GetTimestamp();
            for (int layer = 0; layer < cache.Layout.LayerCount; layer++) outgoing.Publish(layer, request.Tokens);
            cost = await outgoing.CommitAsync(manifest);
            seconds[i] = Stopwatch.GetElapsedTime(published).TotalSeconds;
        }

        reply(new ManySentReply(seconds, seconds.Sum(), GC.GetTotalAllocatedBytes(precise: true) - allocated, WorkerCosts.From(cost)));
    }

    // The same cache is sent in every repetition: it is synthesised once.
    private KvSequence Shaped(PagedKvCache cache, ulong seed, int tokens)
    {
        if (_shaped is not null && _shapedOf == (seed, tokens)) return _shaped;
        _shaped?.Dispose();
        _shaped = cache.CreateSequence();
        if (!_shaped.TryReserve(tokens)) throw new InvalidOperationException($"{tokens} tokens do not fit; {cache.FreeTokens} are free.");
        new CacheSynthesizer(cache.Layout, seed).Fill(_shaped, tokens);
        _shaped.Advance(tokens);
        _shapedOf = (seed, tokens);
        return _shaped;
    }

    private (PagedKvCache Cache, KvSender Sender) Opened() =>
        _cache is not null && _sender is not null ? (_cache, _sender) : throw new InvalidOperationException("The prefill worker was not opened.");
}
