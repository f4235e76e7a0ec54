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
        _sender = await KvSender.ConnectAsync(open.Endpoint, _cache, new KvSenderOptions { Name = "prefill", Streams = open.Streams, Codec = OfferedCodec.Find(open.Codec).Id });
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
        reply(new SentReply(prefillSeconds, WorkerCosts.From(cost)));
    }

    private async Task SendShapedAsync(SendShapedRequest request)
    {
        (PagedKvCache cache, KvSender sender) = Opened();
        KvSequence sequence = Shaped(cache, request);
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence,
            new HandoffOffer { TotalTokens = request.Tokens, Deadline = Deadline, RequestId = request.RequestId });
        for (int layer = 0; layer < cache.Layout.LayerCount; layer++)
        {
            if (request.LayerDelayMilliseconds > 0) await Task.Delay(request.LayerDelayMilliseconds);
            outgoing.Publish(layer, request.Tokens);
        }

        HandoffCost cost = await outgoing.CommitAsync(new HandoffManifest([.. new int[request.Tokens]], request.Tokens));
        reply(new SentReply(0, WorkerCosts.From(cost)));
    }

    // The same cache is sent in every repetition: it is synthesised once.
    private KvSequence Shaped(PagedKvCache cache, SendShapedRequest request)
    {
        if (_shaped is not null && _shapedOf == (request.Seed, request.Tokens)) return _shaped;
        _shaped?.Dispose();
        _shaped = cache.CreateSequence();
        if (!_shaped.TryReserve(request.Tokens)) throw new InvalidOperationException($"{request.Tokens} tokens do not fit; {cache.FreeTokens} are free.");
        new CacheSynthesizer(cache.Layout, request.Seed).Fill(_shaped, request.Tokens);
        _shaped.Advance(request.Tokens);
        _shapedOf = (request.Seed, request.Tokens);
        return _shaped;
    }

    private (PagedKvCache Cache, KvSender Sender) Opened() =>
        _cache is not null && _sender is not null ? (_cache, _sender) : throw new InvalidOperationException("The prefill worker was not opened.");
}
