using System.Globalization;
using System.Security.Cryptography;
using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.TestPeer;

/// <summary>One side of a handoff of Llama-3.3-70B's shape in BF16; each prints the digest of all rows that it sent or that landed.</summary>
internal static class ShapedHandoff
{
    private static readonly TransportOptions Transport = TransportOptions.Default with { AllowRemotePlaintext = true, UcxTransports = "tcp" };

    private static KvCacheLayout Layout { get; } = KvCacheLayout.Uniform(new ModelIdentity("llama-3.3-70b", "synthesised", 500_000), layers: 80, kvHeads: 8, headDim: 128);

    /// <summary>Ends the process when whoever started it is gone.</summary>
    internal static void EndWithInput() => new Thread(() =>
    {
        while (Console.OpenStandardInput().ReadByte() >= 0) { }
        Environment.Exit(4);
    })
    { IsBackground = true }.Start();

    internal static async Task<int> ReceiveAsync(string endpoint, int tokens)
    {
        using PagedKvCache cache = PagedKvCache.Allocate(Layout, tokens);
        await using KvReceiver receiver = await KvReceiver.ListenAsync(endpoint, cache, new KvReceiverOptions { Transport = Transport });
        Console.WriteLine("listening");
        await foreach (IncomingHandoff incoming in receiver.IncomingAsync())
        {
            using KvSequence landed = await incoming.CommittedAsync();
            Print("landed", landed);
            return 0;
        }

        return 1;
    }

    internal static async Task<int> SendAsync(string endpoint, int tokens)
    {
        using PagedKvCache cache = PagedKvCache.Allocate(Layout, tokens);
        using KvSequence sequence = cache.CreateSequence();
        if (!sequence.TryReserve(tokens)) return 1;
        sequence.Advance(tokens);
        var random = new Random(tokens);
        for (int layer = 0; layer < Layout.LayerCount; layer++)
        {
            KvLayerView view = sequence.View(layer);
            for (int block = 0; block < view.BlockCount; block++) random.NextBytes(view.Block(block));
        }

        await using KvSender sender = await KvSender.ConnectAsync(endpoint, cache, new KvSenderOptions { Transport = Transport });
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = tokens });
        for (int layer = 0; layer < Layout.LayerCount; layer++) outgoing.Publish(layer, tokens);
        HandoffCost cost = await outgoing.CommitAsync(new HandoffManifest([.. Enumerable.Range(0, tokens)], tokens));
        Print("sent", sequence);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"bytes {cost.KvBytes}"));
        Console.WriteLine($"path {sender.DescribePath().Why}");
        return 0;
    }

    // Head by head, token by token, whatever the blocks are.
    private static void Print(string what, KvSequence sequence)
    {
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int layer = 0; layer < Layout.LayerCount; layer++)
        {
            KvLayerView view = sequence.View(layer);
            for (int head = 0; head < view.Geometry.KvHeads; head++)
                for (int plane = 0; plane < view.Geometry.Planes; plane++)
                    for (int token = 0; token < view.Tokens; token++) digest.AppendData(view.Row(head, (KvPlane)plane, token));
        }

        Console.WriteLine($"{what} {Convert.ToHexString(digest.GetHashAndReset())}");
    }
}
