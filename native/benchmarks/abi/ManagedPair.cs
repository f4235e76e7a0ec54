using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;
using static KvHandoff.AbiBench.Transfer;

namespace KvHandoff.AbiBench;

/// <summary>Sender and receiver of the managed library, with a sequence to hand over.</summary>
sealed class ManagedPair : IDisposable
{
    readonly PagedKvCache _from, _to;
    readonly KvReceiver _receiver;
    readonly KvSender _sender;
    readonly KvSequence _sequence;
    readonly IAsyncEnumerator<IncomingHandoff> _incoming;

    internal ManagedPair(string scheme)
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(new ModelIdentity("m", "r", 1e4), Layers, KvHeads, HeadDim);
        (_from, _to) = (PagedKvCache.Allocate(layout, Tokens), PagedKvCache.Allocate(layout, Tokens));
        foreach (KvBlockPool pool in _from.Pools) pool.Fill(0x3C);
        foreach (KvBlockPool pool in _to.Pools) pool.Fill(0);
        _receiver = KvReceiver.ListenAsync(Address(scheme, "managed"), _to).Result;
        _sender = KvSender.ConnectAsync(_receiver.Endpoint, _from).Result;
        _sequence = _from.CreateSequence();
        _sequence.TryReserve(Tokens);
        _sequence.Advance(Tokens);
        _incoming = _receiver.IncomingAsync().GetAsyncEnumerator();
    }

    internal void Run() => RunAsync().Wait();

    async Task RunAsync()
    {
        await using OutgoingHandoff outgoing = await _sender.OfferAsync(_sequence, new HandoffOffer { TotalTokens = Tokens });
        for (int layer = 0; layer < Layers; layer++) outgoing.Publish(layer, Tokens);
        await outgoing.CommitAsync(new HandoffManifest([], Tokens));
        await _incoming.MoveNextAsync();
        await using IncomingHandoff incoming = _incoming.Current;
        using KvSequence landed = await incoming.CommittedAsync();
    }

    internal void Attend(AbiPair abi)
    {
        const int QueryHeads = 64;
        var query = new float[QueryHeads * HeadDim];
        Array.Fill(query, 0.01f);
        float[] output = new float[query.Length], sums = new float[QueryHeads];
        double bytes = 2.0 * 2 * KvHeads * HeadDim * Tokens * 8;
        KernelTable.Row($"attend bf16, {QueryHeads} query heads, {Tokens} tokens, 8 layers (first column managed kernels)", bytes, () =>
        {
            for (int layer = 0; layer < 8; layer++) Attention.PagedDecodeAttention.Run(_sequence.View(layer), QueryHeads, query, default, output, sums);
        }, () => abi.Attend(QueryHeads, query, output, sums));
    }

    public void Dispose()
    {
        _sequence.Dispose();
        _sender.DisposeAsync().AsTask().Wait();
        _receiver.DisposeAsync().AsTask().Wait();
        _from.Dispose();
        _to.Dispose();
    }
}
