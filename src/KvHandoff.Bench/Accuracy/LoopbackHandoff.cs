using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Bench.Accuracy;

/// <summary>A real sender and a real receiver, connected over loopback in this process.</summary>
internal sealed class LoopbackHandoff : IAsyncDisposable
{
    private readonly KvReceiver _receiver;
    private readonly KvSender _sender;
    private readonly IAsyncEnumerator<IncomingHandoff> _incoming;
    private readonly int _layers;

    private LoopbackHandoff(KvReceiver receiver, KvSender sender, int layers)
    {
        _receiver = receiver;
        _sender = sender;
        _layers = layers;
        _incoming = receiver.IncomingAsync().GetAsyncEnumerator();
    }

    /// <summary>Bytes that the socket took so far.</summary>
    internal long WireBytes => _sender.DataBytesSent;

    internal static async Task<LoopbackHandoff> ConnectAsync(PagedKvCache source, PagedKvCache target, CodecId codec, CancellationToken cancellationToken)
    {
        KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", target, new KvReceiverOptions { Name = "decode" }, cancellationToken);
        try
        {
            return new LoopbackHandoff(receiver, await KvSender.ConnectAsync(receiver.Endpoint, source, new KvSenderOptions { Name = "prefill", Codec = codec }, cancellationToken), source.Layout.LayerCount);
        }
        catch
        {
            await receiver.DisposeAsync();
            throw;
        }
    }

    /// <summary>Hands a sequence over; what landed is the caller's.</summary>
    internal async Task<KvSequence> HandOverAsync(KvSequence sequence, CancellationToken cancellationToken)
    {
        await using OutgoingHandoff outgoing = await _sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = sequence.Tokens }, cancellationToken);
        for (int layer = 0; layer < _layers; layer++) outgoing.Publish(layer, sequence.Tokens);
        Task<HandoffCost> committing = outgoing.CommitAsync(new HandoffManifest([.. new int[sequence.Tokens]], sequence.Tokens), cancellationToken);
        if (!await _incoming.MoveNextAsync()) throw new InvalidOperationException("The receiver ended before a handoff came.");
        await using IncomingHandoff incoming = _incoming.Current;
        KvSequence landed = await incoming.CommittedAsync(cancellationToken);
        await committing;
        return landed;
    }

    public async ValueTask DisposeAsync()
    {
        await _sender.DisposeAsync();
        await _receiver.DisposeAsync();
        await _incoming.DisposeAsync();
    }
}
