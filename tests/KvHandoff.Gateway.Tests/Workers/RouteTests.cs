using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Tests.Workers;

/// <summary>The text is the same by every route and in every batch.</summary>
[Collection(WorkerTests.Name)]
public sealed class RouteTests(ReferenceText reference)
{
    [Theory]
    [InlineData("shm")]
    [InlineData("unix")]
    public async Task Handoff_and_monolithic_route_give_the_text_of_a_single_process(string transport)
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode, o => o with { Handoff = transport });
        Seat both = await cluster.StartAsync("b", Phase.Both, o => o with { Handoff = transport });
        foreach (string name in ReferenceText.PromptNames)
        {
            int[] prompt = ReferenceText.Prompt(name), expected = reference.Complete(prompt, 48);
            Text handed = await cluster.HandedAsync(prefill, decode, prompt, 48), whole = await Cluster.MonolithicAsync(both, prompt, 48);
            Assert.Equal(expected, handed.Tokens);
            Assert.Equal(expected, whole.Tokens);
            Assert.Equal(("length", 48, 0), (handed.Finished.Reason, handed.Finished.CompletionTokens, handed.Finished.Preemptions));
            Assert.True(handed.Prefill!.KvBytes >= (long)prompt.Length * decode.Local.Cache.BytesPerToken, $"{handed.Prefill}");
        }

        // A worker of both phases takes and gives handoffs as well.
        int[] other = ReferenceText.Passage(300, 200);
        Assert.Equal(reference.Complete(other, 20), (await cluster.HandedAsync(both, decode, other, 20)).Tokens);
        Assert.Equal(reference.Complete(other, 20), (await cluster.HandedAsync(prefill, both, other, 20)).Tokens);
        foreach (Seat seat in new[] { prefill, decode, both }) await seat.IdleAsync();
    }

    [Fact]
    public async Task Concurrent_requests_of_both_routes_do_not_touch_each_other()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill, o => o with { ChunkTokens = 64 }), decode = await cluster.StartAsync("d", Phase.Decode);
        Seat both = await cluster.StartAsync("b", Phase.Both, o => o with { ChunkTokens = 96 });
        var cases = Enumerable.Range(0, 8).Select(i => (Prompt: ReferenceText.Passage(1000 + 700 * i, 40 + 83 * i), Tokens: 30 + 11 * (i % 3), Sampling: new SamplingOptions(i % 2 == 0 ? 0 : 0.9, 0.95, (ulong)i))).ToArray();
        Task<Text>[] handed = [.. cases.Select(c => cluster.HandedAsync(prefill, decode, c.Prompt, c.Tokens, c.Sampling))];
        Task<Text>[] whole = [.. cases.Select(c => Cluster.MonolithicAsync(both, c.Prompt, c.Tokens, c.Sampling))];
        for (int i = 0; i < cases.Length; i++)
        {
            int[] expected = reference.Complete(cases[i].Prompt, cases[i].Tokens, cases[i].Sampling);
            Assert.Equal(expected, (await handed[i]).Tokens);
            Assert.Equal(expected, (await whole[i]).Tokens);
        }

        foreach (Seat seat in new[] { prefill, decode, both }) await seat.IdleAsync();
    }

    [Fact]
    public async Task The_seed_decides_what_is_drawn_and_nothing_else_does()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode), both = await cluster.StartAsync("b", Phase.Both);
        int[] prompt = ReferenceText.Prompt("short-long");
        var first = new SamplingOptions(1.1, 0.9, 7);
        int[] expected = reference.Complete(prompt, 40, first);
        Assert.Equal(expected, (await cluster.HandedAsync(prefill, decode, prompt, 40, first)).Tokens);
        Assert.Equal(expected, (await Cluster.MonolithicAsync(both, prompt, 40, first)).Tokens);
        Assert.NotEqual(expected, (await Cluster.MonolithicAsync(both, prompt, 40, first with { Seed = 8 })).Tokens);
    }

    [Fact]
    public async Task A_stop_sequence_ends_the_text_before_it_and_nothing_of_it_leaves()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode), both = await cluster.StartAsync("b", Phase.Both);
        int[] prompt = ReferenceText.Prompt("short-long"), full = reference.Complete(prompt, 60);
        int[] stop = full[20..26], never = [.. full[30..34], 0];
        int at = full.AsSpan().IndexOf(stop);
        Text handed = await cluster.HandedAsync(prefill, decode, prompt, 60, stop: [never, stop]), whole = await Cluster.MonolithicAsync(both, prompt, 60, stop: [never, stop]);
        foreach (Text text in new[] { handed, whole })
        {
            Assert.Equal(full[..at], text.Tokens);
            Assert.Equal(("stop", at + stop.Length), (text.Finished.Reason, text.Finished.CompletionTokens));
        }

        // What is held back and does not become the stop sequence is told in the end.
        Assert.Equal(full, (await cluster.HandedAsync(prefill, decode, prompt, 60, stop: [never, [.. full[55..], 0]])).Tokens);
        Assert.Equal(full[..1], (await cluster.HandedAsync(prefill, decode, prompt, 1)).Tokens);
    }
}
