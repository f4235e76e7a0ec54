using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Tests.Workers;

/// <summary>Who goes first where prompts wait.</summary>
[Collection(WorkerTests.Name)]
public sealed class QueueTests(ReferenceText reference)
{
    private const int LongTokens = 7900;

    [Fact]
    public async Task Short_prompts_do_not_wait_for_a_long_one_that_has_begun()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill, o => o with { ChunkTokens = 64, CacheTokens = 16_384 }), decode = await cluster.StartAsync("d", Phase.Decode, o => o with { CacheTokens = 16_384 });
        using var cancel = new CancellationTokenSource();
        Task<Text> slow = cluster.HandedAsync(prefill, decode, ReferenceText.Passage(0, LongTokens), 10, cancellationToken: cancel.Token);
        while ((await prefill.Remote.StatusAsync(CancellationToken.None)).Running == 0) await Task.Delay(2);
        Text[] quick = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => cluster.HandedAsync(prefill, decode, ReferenceText.Passage(9000 + 500 * i, 70), 3)));
        Assert.False(slow.IsCompleted, "The long prompt was done before three short ones.");
        await cancel.CancelAsync();
        Assert.NotNull(await Record.ExceptionAsync(() => slow));
        for (int i = 0; i < quick.Length; i++) Assert.Equal(reference.Complete(ReferenceText.Passage(9000 + 500 * i, 70), 3), quick[i].Tokens);
        foreach (Seat seat in new[] { prefill, decode }) await seat.IdleAsync();
    }

    [Fact]
    public async Task A_higher_priority_passes_one_that_has_begun()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill, o => o with { ChunkTokens = 64, CacheTokens = 16_384 }), decode = await cluster.StartAsync("d", Phase.Decode, o => o with { CacheTokens = 16_384 });
        using var cancel = new CancellationTokenSource();
        Task<Text> first = cluster.HandedAsync(prefill, decode, ReferenceText.Passage(0, 2000), 3, cancellationToken: cancel.Token);
        while ((await prefill.Remote.StatusAsync(CancellationToken.None)).Running == 0) await Task.Delay(2);
        // As long as the other, so that only its priority lets it pass.
        int[] prompt = ReferenceText.Passage(5000, 2000);
        Text urgent = await cluster.HandedAsync(prefill, decode, prompt, 3, priority: 5);
        Assert.False(first.IsCompleted, "The one that came first was done first.");
        await cancel.CancelAsync();
        Assert.NotNull(await Record.ExceptionAsync(() => first));
        Assert.Equal(reference.Complete(prompt, 3), urgent.Tokens);
    }
}
