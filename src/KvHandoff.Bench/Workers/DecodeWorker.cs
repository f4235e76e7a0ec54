using System.Diagnostics;
using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Bench.Workers;

/// <summary>
/// The decode process: takes handoffs and generates from the landed cache and its manifest. It is never told the prompt.
/// </summary>
internal sealed class DecodeWorker(Action<WorkerMessage> reply) : IAsyncDisposable
{
    /// <summary>Written over the whole pool before a synthesised transfer.</summary>
    internal const byte Poison = 0xA5;

    /// <summary>The same before a real prompt: as BF16 it is 3.4e38, so that reading one unwritten element ruins the text.</summary>
    internal const byte LoudPoison = 0x7F;

    private ReferenceModel? _model;
    private PagedKvCache? _cache;
    private KvReceiver? _receiver;
    private IAsyncEnumerator<IncomingHandoff>? _incoming;

    internal async Task HandleAsync(WorkerMessage request)
    {
        switch (request)
        {
            case OpenDecodeRequest open: await OpenAsync(open); break;
            case ReceivePromptRequest prompt: await ReceivePromptAsync(prompt); break;
            case ReceiveShapedRequest shaped: await ReceiveShapedAsync(shaped); break;
            case ReceiveManyRequest many: await ReceiveManyAsync(many); break;
            default: throw new InvalidOperationException($"A decode worker was asked {request.GetType().Name}.");
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_receiver is not null) await _receiver.DisposeAsync();
        if (_incoming is not null) await _incoming.DisposeAsync();
        _model?.Dispose();
        _cache?.Dispose();
    }

    private async Task OpenAsync(OpenDecodeRequest open)
    {
        if (open.Model == ReferenceModel.Name) _model = ReferenceModel.Load();
        KvCacheLayout layout = _model?.Layout ?? ShapedModel.Find(open.Model).Layout;
        // What a sender on this host can map it can write in place.
        _cache = open.Transport == WorkerTransport.SharedMemory
            ? PagedKvCache.Over(layout, SharedSlab.Create("kvhandoff-bench", PagedKvCache.RequiredBytes(layout, open.CapacityTokens)), open.CapacityTokens, owned: true)
            : PagedKvCache.Allocate(layout, open.CapacityTokens);
        _receiver = await KvReceiver.ListenAsync(WorkerTransport.ListenAt(open.Transport), _cache,
            new KvReceiverOptions { Name = "decode", MaxStreams = open.Streams, SameHostTrust = open.SameHostTrust, Transport = WorkerTransport.Options(open.Certificate) });
        _incoming = _receiver.IncomingAsync().GetAsyncEnumerator();
        reply(new OpenedReply(_receiver.Endpoint));
    }

    private async Task ReceivePromptAsync(ReceivePromptRequest request)
    {
        Poisoned(LoudPoison);
        reply(new ReadyReply());
        await using IncomingHandoff incoming = await NextAsync();
        using KvSequence sequence = await incoming.CommittedAsync();
        long committedAt = Stopwatch.GetTimestamp();
        HandoffManifest manifest = incoming.Manifest;
        LandedFault.Apply(request.Fault, sequence);
        ReferenceModel model = _model!;
        Generation generation = request.Continuation.Length > 0
            ? model.ReadContinuation(sequence, request.Continuation)
            : model.Generate(sequence, manifest.FirstToken, request.CompletionTokens);
        if (generation.SecondTokenAt > 0) incoming.RecordFirstAttend(Stopwatch.GetElapsedTime(committedAt, generation.SecondTokenAt));
        reply(new GeneratedReply(generation.Tokens, generation.NegativeLogLikelihood, model.PrefilledTokens, committedAt, generation.SecondTokenAt, generation.LastTokenAt, WorkerCosts.From(incoming.Cost)));
    }

    private async Task ReceiveShapedAsync(ReceiveShapedRequest request)
    {
        IKvCodec expected = OfferedCodec.Find(request.Codec).Expected;
        Poisoned(Poison);
        long before = _receiver!.DataBytesReceived;
        reply(new ReadyReply());
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        await using IncomingHandoff incoming = await NextAsync();
        using KvSequence sequence = await incoming.CommittedAsync();
        double cpuSeconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        WorkerCost cost = WorkerCosts.From(incoming.Cost);
        long socketBytes = _receiver.DataBytesReceived - before;
        ComparisonResult found = LandedComparison.Compare(new CacheSynthesizer(_cache!.Layout, request.Seed), sequence, request.Tokens, expected, Poison);
        reply(new LandedReply(found.BytesCompared, found.DifferentBytes, found.TailBytesChecked, found.TailBytesChanged, found.FirstDifference, socketBytes, cpuSeconds, cost));
    }

    private async Task ReceiveManyAsync(ReceiveManyRequest request)
    {
        Poisoned(Poison);
        var synthesizer = new CacheSynthesizer(_cache!.Layout, request.Seed);
        long allocated = GC.GetTotalAllocatedBytes(precise: true);
        reply(new ReadyReply());
        for (int i = 1; ; i++)
        {
            await using IncomingHandoff incoming = await NextAsync();
            using KvSequence sequence = await incoming.CommittedAsync();
            if (i < request.Handoffs) continue;
            allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
            ComparisonResult found = LandedComparison.Compare(synthesizer, sequence, request.Tokens, KvCodecs.Raw, Poison, tailIsPoisoned: false);
            reply(new ManyLandedReply(found.BytesCompared, found.DifferentBytes, found.FirstDifference, allocated, WorkerCosts.From(incoming.Cost)));
            return;
        }
    }

    private void Poisoned(byte value)
    {
        if (_cache is null) throw new InvalidOperationException("The decode worker was not opened.");
        foreach (KvBlockPool pool in _cache.Pools) pool.Fill(value);
    }

    private async Task<IncomingHandoff> NextAsync()
    {
        if (!await _incoming!.MoveNextAsync()) throw new InvalidOperationException("The receiver ended before a handoff came.");
        return _incoming.Current;
    }
}
