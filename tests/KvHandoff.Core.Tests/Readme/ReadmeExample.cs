using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Readme;

/// <summary>The code that the README shows: compiled here, run by <see cref="ReadmeTests"/>, and compared with the README's text.</summary>
internal static class ReadmeExample
{
    internal static async Task<(byte[] LastValueRow, HandoffCost Cost)> RunAsync(float[] keys, float[] values, int tokens)
    {
        // <readme>
        // Both workers describe their cache: 2 layers, 4 kv heads of 64 in BF16, blocks of 64 tokens. Here they share one process.
        var model = new ModelIdentity("my-model", Revision: "sha256-of-the-weights", RopeTheta: 500_000);
        KvCacheLayout layout = KvCacheLayout.Uniform(model, layers: 2, kvHeads: 4, headDim: 64);
        using PagedKvCache prefillCache = PagedKvCache.Allocate(layout, tokens: 4096);
        using PagedKvCache decodeCache = PagedKvCache.Allocate(layout, tokens: 4096);

        // Decode worker: blocks are granted from its own cache, layers land in place.
        await using KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", decodeCache);

        // Prefill worker: offer, publish each layer as prefill produces it, commit.
        await using KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, prefillCache);
        using KvSequence sequence = prefillCache.CreateSequence();
        if (!sequence.TryReserve(tokens)) throw new InvalidOperationException($"{prefillCache.FreeTokens} tokens are free.");
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = tokens });
        for (int layer = 0; layer < layout.LayerCount; layer++)
        {
            sequence.WriteRows(layer, start: 0, keys, values);   // [token][kv head][dim], rotated keys
            outgoing.Publish(layer, tokens);                     // returns at once; the layer travels while the next is computed
        }

        HandoffCost cost = await outgoing.CommitAsync(new HandoffManifest([.. Enumerable.Range(0, tokens)], tokens, FirstToken: 7));

        // Decode worker: the verified sequence is its own now, and can be attended to and appended to.
        await using IncomingHandoff incoming = await receiver.IncomingAsync().FirstAsync();
        using KvSequence landed = await incoming.CommittedAsync();
        // </readme>
        return (landed.View(1).Row(3, KvPlane.Value, landed.Tokens - 1).ToArray(), cost);
    }
}
