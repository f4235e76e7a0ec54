using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Tests.Workers;

/// <summary>When blocks run out sequences make room, and their texts do not change.</summary>
[Collection(WorkerTests.Name)]
public sealed class PreemptionTests(ReferenceText reference)
{
    private const int Requests = 6, Tokens = 150;

    private static int[] Prompt(int index) => ReferenceText.Passage(2000 + 900 * index, 100 + 17 * index);

    [Fact]
    public async Task Computed_again_in_the_same_worker()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill);
        // Room for three of six when they begin, and for two when they end.
        Seat decode = await cluster.StartAsync("d", Phase.Decode, o => o with { CacheTokens = 640 });
        Text[] texts = await Task.WhenAll(Enumerable.Range(0, Requests).Select(i => cluster.HandedAsync(prefill, decode, Prompt(i), Tokens)));
        for (int i = 0; i < Requests; i++) Assert.Equal(reference.Complete(Prompt(i), Tokens), texts[i].Tokens);
        Assert.True(texts.Sum(t => t.Finished.Preemptions) > 0, "Nobody made room: the test shows nothing.");
        WorkerStatus status = await decode.IdleAsync();
        Assert.Equal(texts.Sum(t => t.Finished.Preemptions), status.Preemptions);
        Assert.Equal(0, decode.Local.HandedAway);
        await prefill.IdleAsync();
    }

    [Fact]
    public async Task Handed_to_another_worker()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), full = await cluster.StartAsync("full", Phase.Decode, o => o with { CacheTokens = 640 });
        Seat roomy = await cluster.StartAsync("roomy", Phase.Decode);
        await full.Remote.SetPeersAsync([new WorkerPeer(full.Name, full.Server.Address), new WorkerPeer(roomy.Name, roomy.Server.Address)], CancellationToken.None);
        // A stop sequence that never comes, so that tokens are held back on both sides of the move.
        Text[] texts = await Task.WhenAll(Enumerable.Range(0, Requests).Select(i => cluster.HandedAsync(prefill, full, Prompt(i), Tokens, stop: [[' ', 't', 'h', 0]])));
        for (int i = 0; i < Requests; i++) Assert.Equal(reference.Complete(Prompt(i), Tokens), texts[i].Tokens);
        Assert.True(full.Local.HandedAway > 0, "Nothing was handed away: the test shows nothing.");
        Assert.True(texts.Sum(t => t.Finished.Preemptions) >= full.Local.HandedAway);
        foreach (Seat seat in new[] { prefill, full, roomy }) await seat.IdleAsync();
    }

    [Fact]
    public async Task A_sequence_comes_back_when_the_worker_that_took_it_dies()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), full = await cluster.StartAsync("full", Phase.Decode, o => o with { CacheTokens = 640 });
        Seat roomy = await cluster.StartAsync("roomy", Phase.Decode);
        await full.Remote.SetPeersAsync([new WorkerPeer(roomy.Name, roomy.Server.Address)], CancellationToken.None);
        Task<Text>[] texts = [.. Enumerable.Range(0, Requests).Select(i => cluster.HandedAsync(prefill, full, Prompt(i), Tokens))];
        for (int i = 0; full.Local.HandedAway == 0 && i < 2000; i++) await Task.Delay(5);
        await roomy.DisposeAsync();
        for (int i = 0; i < Requests; i++) Assert.Equal(reference.Complete(Prompt(i), Tokens), (await texts[i]).Tokens);
        Assert.True(full.Local.HandedAway > 0, "Nothing was handed away: the test shows nothing.");
        foreach (Seat seat in new[] { prefill, full }) await seat.IdleAsync();
    }

    [Fact]
    public async Task Prompts_of_a_worker_of_both_phases_make_room_as_well()
    {
        await using var cluster = new Cluster(reference);
        Seat both = await cluster.StartAsync("b", Phase.Both, o => o with { CacheTokens = 640, ChunkTokens = 48 });
        Text[] texts = await Task.WhenAll(Enumerable.Range(0, Requests).Select(i => Cluster.MonolithicAsync(both, Prompt(i), Tokens, new SamplingOptions(0.8, 0.9, 3))));
        for (int i = 0; i < Requests; i++) Assert.Equal(reference.Complete(Prompt(i), Tokens, new SamplingOptions(0.8, 0.9, 3)), texts[i].Tokens);
        Assert.True(texts.Sum(t => t.Finished.Preemptions) > 0, "Nobody made room: the test shows nothing.");
        await both.IdleAsync();
    }

    [Fact]
    public async Task What_can_never_fit_is_refused_at_once()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill, o => o with { CacheTokens = 320 }), decode = await cluster.StartAsync("d", Phase.Decode, o => o with { CacheTokens = 320 });
        Seat both = await cluster.StartAsync("b", Phase.Both, o => o with { CacheTokens = 320 });
        int[] prompt = Prompt(0);
        WorkerException refused = await Assert.ThrowsAsync<WorkerException>(() => cluster.HandedAsync(prefill, decode, prompt, 221));
        Assert.Equal(WorkerFailure.TooLong, refused.Failure);
        Assert.Contains("321", refused.Message);
        Assert.Contains("320", refused.Message);
        Assert.Equal(WorkerFailure.TooLong, (await Assert.ThrowsAsync<WorkerException>(() => Cluster.MonolithicAsync(both, prompt, 221))).Failure);
        Assert.Equal(WorkerFailure.TooLong, (await Assert.ThrowsAsync<WorkerException>(() => cluster.HandedAsync(prefill, decode, ReferenceText.Passage(0, 321), 1))).Failure);
        Assert.Equal(WorkerFailure.TooLong, (await Assert.ThrowsAsync<WorkerException>(() => Cluster.MonolithicAsync(both, prompt, 9000))).Failure);
        Assert.Equal(reference.Complete(prompt, 220), (await cluster.HandedAsync(prefill, decode, prompt, 220)).Tokens);
        foreach (Seat seat in new[] { prefill, decode, both }) await seat.IdleAsync();
    }
}
