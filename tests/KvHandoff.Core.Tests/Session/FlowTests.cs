using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Room, order and permission: what a receiver grants, keeps waiting and refuses.</summary>
public sealed class FlowTests
{
    private const int Tokens = 640;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task An_offer_that_may_wait_is_granted_when_room_comes_and_the_urgent_first()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 4 * Tokens, targetTokens: Tokens);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 1);
        OutgoingHandoff first = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        IncomingHandoff holding = await f.NextAsync();
        HandoffOffer Waiting(byte priority) => new() { TotalTokens = Tokens, Priority = priority, WaitForRoom = TimeSpan.FromSeconds(20), RequestId = $"{priority}" };
        Task<OutgoingHandoff> low = f.Sender.OfferAsync(sequence, Waiting(1)), high = f.Sender.OfferAsync(sequence, Waiting(200)), middle = f.Sender.OfferAsync(sequence, Waiting(100));
        await SessionFixture.EventuallyAsync(() => f.Receiver.WaitingOffers == 3, "three offers wait");
        var order = new List<string>();
        await first.DisposeAsync();
        foreach (Task<OutgoingHandoff> granted in new[] { high, middle, low })
        {
            await using OutgoingHandoff outgoing = await granted.WaitAsync(Limit);
            IncomingHandoff incoming = await f.NextAsync();
            order.Add(incoming.RequestId);
            for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
            await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
            using KvSequence landed = await incoming.CommittedAsync();
            SessionFixture.AssertSameRows(sequence, landed);
        }

        Assert.Equal(["200", "100", "1"], order);
        await Assert.ThrowsAsync<HandoffException>(() => holding.CommittedAsync());
        Assert.Equal(0, f.Target.UsedBlocks);
    }

    [Fact]
    public async Task A_wait_ends_with_the_bytes_needed_and_free()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 2 * Tokens, targetTokens: Tokens);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 2);
        await using OutgoingHandoff holding = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        HandoffException refused = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence,
            new HandoffOffer { TotalTokens = Tokens, WaitForRoom = TimeSpan.FromMilliseconds(150) }).WaitAsync(Limit));
        Assert.Equal(HandoffFailure.Rejected, refused.Failure);
        Assert.Equal(PagedKvCache.RequiredBytes(f.Target.Layout, Tokens), refused.BytesNeeded);
        Assert.Equal(0, refused.BytesFree);
        Assert.True(refused.RetryAfter > TimeSpan.Zero);
        Assert.Equal(0, f.Receiver.WaitingOffers);
    }

    [Fact]
    public async Task A_waiting_offer_that_is_given_up_leaves_the_queue()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 2 * Tokens, targetTokens: Tokens);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 3);
        await using OutgoingHandoff holding = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        using var stop = new CancellationTokenSource();
        Task<OutgoingHandoff> waiting = f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, WaitForRoom = TimeSpan.FromSeconds(30) }, stop.Token);
        await SessionFixture.EventuallyAsync(() => f.Receiver.WaitingOffers == 1, "the offer waits");
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Limit));
        await SessionFixture.EventuallyAsync(() => f.Receiver.WaitingOffers == 0, "nothing waits");
    }

    [Fact]
    public async Task The_host_decides_who_is_admitted()
    {
        AdmissionRequest? asked = null;
        var options = new KvReceiverOptions
        {
            Admission = request =>
            {
                asked = request;
                return request.Intent == HandoffIntent.Prefetch ? AdmissionVerdict.Refuse("decode is busy", TimeSpan.FromSeconds(3)) : AdmissionVerdict.Admit;
            },
        };
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 2 * Tokens, receiverOptions: options);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 4);
        HandoffException refused = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence,
            new HandoffOffer { TotalTokens = Tokens, Intent = HandoffIntent.Prefetch, Priority = 9, RequestId = "r9" }).WaitAsync(Limit));
        Assert.Equal(TimeSpan.FromSeconds(3), refused.RetryAfter);
        Assert.Contains("decode is busy", refused.Message);
        Assert.Equal(("r9", 9, Tokens, 0), (asked!.RequestId, asked.Priority, asked.TotalTokens, asked.OpenHandoffs));
        Assert.Equal(f.Target.Layout.BytesForTokens(Tokens), asked.KvBytes);
        Assert.Equal(0, f.Target.UsedBlocks);
        (KvSequence landed, _, _) = await f.HandOverAsync(sequence);
        landed.Dispose();
    }

    /// <summary>
    /// The three-way deadlock of LMCache#1215: the prefill worker works on two prompts in chunks, the decode worker has room for one and a half, and
    /// the proxy asks for the first token of both before it frees either. Here a sequence gets all of its blocks or none.
    /// </summary>
    [Fact]
    public async Task Chunked_prefill_of_two_prompts_into_room_for_one_and_a_half_does_not_deadlock()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 4 * Tokens, targetTokens: Tokens * 3 / 2);
        using KvSequence a = SessionFixture.Fill(f.Source, Tokens, seed: 5), b = SessionFixture.Fill(f.Source, Tokens, seed: 6);
        var offer = new HandoffOffer { TotalTokens = Tokens, WaitForRoom = TimeSpan.FromSeconds(20) };
        Task decoding = Task.Run(async () =>
        {
            for (int i = 0; i < 2; i++)
            {
                await using IncomingHandoff incoming = await f.NextAsync();
                using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Limit);
                await Task.Delay(50);
            }
        });
        async Task PrefillAsync(KvSequence sequence)
        {
            await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, offer with { HandoffId = Guid.NewGuid() });
            for (int chunk = 0; chunk < 4; chunk++)
            {
                await Task.Delay(5);
                for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, new IndexRange(chunk * 160, 160));
            }

            await outgoing.CommitAsync(SessionFixture.Manifest(Tokens));
        }

        await Task.WhenAll(PrefillAsync(a), PrefillAsync(b), decoding).WaitAsync(Limit);
        Assert.Equal(0, f.Target.UsedBlocks);
    }

    [Fact]
    public async Task Chunks_may_be_published_in_any_order_and_twice()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 2 * Tokens);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens - 13, seed: 7);
        Task<IncomingHandoff> accepting = f.NextAsync();
        await using OutgoingHandoff outgoing = await f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = sequence.Tokens });
        var random = new Random(8);
        List<(int Layer, IndexRange Tokens)> chunks = [];
        for (int layer = 0; layer < 3; layer++)
        {
            for (int start = 0, count; start < sequence.Tokens; start += count)
            {
                count = Math.Min(random.Next(1, 150), sequence.Tokens - start);
                chunks.Add((layer, new IndexRange(start, count)));
            }
        }

        foreach ((int layer, IndexRange tokens) in chunks.OrderBy(_ => random.Next()).ToArray())
        {
            outgoing.Publish(layer, tokens);
            outgoing.Publish(layer, new IndexRange(tokens.Start, random.Next(tokens.Count)));
        }

        await outgoing.CommitAsync(SessionFixture.Manifest(sequence.Tokens)).WaitAsync(Limit);
        using KvSequence landed = await (await accepting).CommittedAsync();
        SessionFixture.AssertSameRows(sequence, landed);
        Assert.Equal(0, f.Receiver.FencedFrames);
    }

    [Fact]
    public async Task What_the_receiver_has_is_not_sent()
    {
        KvCacheLayout layout = SessionFixture.Layout();
        using PagedKvCache from = PagedKvCache.Allocate(layout, 4096), to = PagedKvCache.Allocate(SessionFixture.Layout(blockTokens: 16), 4096);
        using var index = new PrefixIndex(to);
        await using KvReceiver receiver = await KvReceiver.ListenAsync("tcp://127.0.0.1:0", to, new KvReceiverOptions { PrefixIndex = index });
        await using KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from);
        int[] tokenIds = [.. Enumerable.Range(0, Tokens)];
        byte[] hashes = new byte[16 * (Tokens / 64)];
        ReadOnlySpan<PrefixHash> chain = PrefixHash.Chain(layout.Model, tokenIds).AsSpan();
        for (int i = 0; i < chain.Length; i++) chain[i].Write(hashes.AsSpan(16 * i));
        using KvSequence sequence = SessionFixture.Fill(from, Tokens, seed: 9);
        long before = 0;
        for (int round = 0; round < 2; round++)
        {
            await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens, PrefixHashes = hashes });
            IncomingHandoff incoming = await receiver.IncomingAsync().FirstAsync();
            Assert.Equal(round == 0 ? 0 : 512, outgoing.ReusedTokens);
            Assert.Equal(outgoing.ReusedTokens, incoming.ReusedTokens);
            for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
            await outgoing.CommitAsync(SessionFixture.Manifest(Tokens)).WaitAsync(Limit);
            using KvSequence landed = await incoming.CommittedAsync();
            SessionFixture.AssertSameRows(sequence, landed);
            // The host keeps the first 512 tokens: eight granules.
            if (round == 0) index.Add(landed, PrefixHash.Chain(layout.Model, tokenIds).AsSpan()[..8]);
            else Assert.InRange(receiver.DataBytesReceived - before, 1, before / 4);
            before = receiver.DataBytesReceived;
        }

        index.Dispose();
        Assert.Equal(0, to.UsedBlocks);
    }

    [Fact]
    public async Task Without_a_good_ticket_nothing_is_reserved()
    {
        var keys = new TicketKeyRing(1, Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());
        var options = new KvReceiverOptions { Tickets = new TicketVerifier("decode-0", keys) };
        await using SessionFixture f = await SessionFixture.StartAsync(tokens: 2 * Tokens, receiverOptions: options);
        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 11);
        HandoffException refused = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens }).WaitAsync(Limit));
        Assert.Contains("asks for a ticket", refused.Message);
        var offer = new HandoffOffer { TotalTokens = Tokens };
        byte[] Ticket(string audience) => HandoffTicket.Issue(keys, new TicketClaims
        {
            Audience = audience,
            Sender = Environment.MachineName,
            HandoffId = offer.HandoffId,
            MaxKvBytes = f.Target.Layout.BytesForTokens(Tokens),
            Lifetime = TimeSpan.FromMinutes(1),
        }, TimeProvider.System).Encoded.ToArray();
        refused = await Assert.ThrowsAsync<HandoffException>(() => f.Sender.OfferAsync(sequence, offer with { Ticket = Ticket("decode-1") }).WaitAsync(Limit));
        Assert.Contains("(Unauthorized)", refused.Message);
        Assert.Equal(0, f.Target.UsedBlocks);
        await using OutgoingHandoff granted = await f.Sender.OfferAsync(sequence, offer with { Ticket = Ticket("decode-0") }).WaitAsync(Limit);
        Assert.Equal(HandoffStatus.Landing, granted.Status);
    }
}
