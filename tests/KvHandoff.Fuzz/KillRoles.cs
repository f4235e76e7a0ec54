using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>One side of a handoff as a process of its own, to be killed, or to survive the other's death and serve the next.</summary>
internal static class KillRoles
{
    private const int Tokens = 192, Room = 3 * Tokens;
    private static readonly KvCacheLayout Layout = KvCacheLayout.Uniform(new ModelIdentity("lab", "0123abcd", 10000), 8, 2, 64);

    // Two network namespaces of one machine are two hosts to the transport.
    private static readonly TransportOptions Open = new() { AllowRemotePlaintext = true };

    internal static Task<int> RunAsync(string role, string endpoint) => role switch
    {
        "receiver" => ReceiveAsync(endpoint),
        "sender" => SendAsync(endpoint),
        _ => Task.FromResult(2),
    };

    /// <summary>Prints its endpoint, and a line per handoff: committed with good rows, or how it ended. Says "free" when no block is in use.</summary>
    private static async Task<int> ReceiveAsync(string endpoint)
    {
        using SharedSlab shared = SharedSlab.Create("kvhandoff-kill", PagedKvCache.RequiredBytes(Layout, Room));
        using PagedKvCache cache = PagedKvCache.Over(Layout, shared, Room);
        await using KvReceiver receiver = await KvReceiver.ListenAsync(endpoint, cache, new KvReceiverOptions { Lease = TimeSpan.FromSeconds(2), Transport = Open });
        Say($"listening {receiver.Endpoint}");
        using var stop = new CancellationTokenSource();
        _ = Task.Run(() =>
        {
            // The driver asks by a line; the end of its lines is the end.
            while (Console.ReadLine() is not null)
            {
                for (int i = 0; i < 500 && cache.UsedBlocks > 0; i++) Thread.Sleep(10);
                Say(cache.UsedBlocks == 0 ? "free" : $"held {cache.UsedBlocks}");
            }

            stop.Cancel();
        });
        try
        {
            await foreach (IncomingHandoff incoming in receiver.IncomingAsync(stop.Token)) _ = TakeAsync(incoming);
        }
        catch (OperationCanceledException)
        {
        }

        return 0;
    }

    private static async Task TakeAsync(IncomingHandoff incoming)
    {
        try
        {
            using KvSequence landed = await incoming.CommittedAsync();
            using PagedKvCache cache = PagedKvCache.Allocate(Layout, Tokens);
            using KvSequence expected = RowOracle.Fill(cache, Tokens, incoming.Manifest.FirstToken);
            TransferPlan.TryCreate(Layout, Layout, out TransferPlan? plan, out _);
            Say(RowOracle.Difference(plan!, Codec.CodecId.Raw, expected, landed) is { } difference ? $"corrupt {difference}" : "committed");
        }
        catch (HandoffException e)
        {
            Say($"ended {e.Failure}");
        }
    }

    /// <summary>Hands one sequence after another over until it is killed or its input ends; goes on when the receiver comes back.</summary>
    private static async Task<int> SendAsync(string endpoint)
    {
        using PagedKvCache cache = PagedKvCache.Allocate(Layout, Room);
        using var stop = new CancellationTokenSource();
        _ = Task.Run(() =>
        {
            while (Console.ReadLine() is not null) { }
            stop.Cancel();
        });
        KvSender? sender = null;
        for (int seed = 0; !stop.IsCancellationRequested; seed = (seed + 1) % 256)
        {
            try
            {
                sender ??= await KvSender.ConnectAsync(endpoint, cache, new KvSenderOptions { Transport = Open });
                using KvSequence sequence = RowOracle.Fill(cache, Tokens, seed);
                await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, Deadline = TimeSpan.FromSeconds(10), WaitForRoom = TimeSpan.FromSeconds(5) });
                for (int layer = 0; layer < Layout.LayerCount; layer++)
                {
                    outgoing.Publish(layer, Tokens);
                    await Task.Yield();
                }

                await outgoing.CommitAsync(RowOracle.Manifest(Tokens, seed));
                Say("sent");
            }
            catch (HandoffException e)
            {
                Say($"failed {e.Failure}");
                if (cache.UsedBlocks > 0) Say($"held {cache.UsedBlocks}");
                await Task.Delay(20);
            }
        }

        if (sender is not null) await sender.DisposeAsync();
        return 0;
    }

    private static void Say(string line)
    {
        lock (Layout)
        {
            Console.Out.WriteLine(line);
            Console.Out.Flush();
        }
    }
}
