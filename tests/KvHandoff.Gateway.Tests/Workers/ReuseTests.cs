using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Tests.Workers;

/// <summary>The next turn of a conversation finds what the turn before left.</summary>
[Collection(WorkerTests.Name)]
public sealed class ReuseTests(ReferenceText reference)
{
    [Fact]
    public async Task The_next_turn_computes_and_sends_only_what_is_new()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode, o => o with { Handoff = "unix" });
        int[] first = ReferenceText.Passage(500, 400);
        Text one = await cluster.HandedAsync(prefill, decode, first, 90);
        long bytes = decode.Local.DataBytesReceived;
        int[] second = [.. first, .. one.Tokens, .. ReferenceText.Passage(9000, 70)];
        Text two = await cluster.HandedAsync(prefill, decode, second, 60);
        long more = decode.Local.DataBytesReceived - bytes;

        Assert.Equal(reference.Complete(first, 90), one.Tokens);
        Assert.Equal(reference.Complete(second, 60), two.Tokens);
        // Six whole units of 64 tokens of the first prompt; nothing of what was generated, whose rows are rounded otherwise.
        Assert.Equal((0, 384), (one.Started.CachedTokens, two.Started.CachedTokens));
        Assert.Equal((0, 384), (one.Prefill!.CachedTokens, two.Prefill!.CachedTokens));
        long rest = (second.Length - 384) * decode.Local.Cache.BytesPerToken;
        Assert.InRange(more, rest, rest * 21 / 20);
        Assert.InRange(two.Prefill.WireBytes, rest, rest * 21 / 20);
        Assert.Equal((384L, 384L), ((await prefill.IdleAsync()).ReusedTokens, (await decode.IdleAsync()).ReusedTokens));
    }

    [Fact]
    public async Task A_prompt_that_is_asked_again_is_not_computed_again_and_a_worker_of_both_phases_does_the_same()
    {
        await using var cluster = new Cluster(reference);
        Seat both = await cluster.StartAsync("b", Phase.Both);
        // A whole number of units: the last unit has to be computed for the logits of its last token.
        int[] prompt = ReferenceText.Passage(700, 256), expected = reference.Complete(prompt, 30);
        foreach (int cached in new[] { 0, 192, 192 })
        {
            Text text = await Cluster.MonolithicAsync(both, prompt, 30);
            Assert.Equal(expected, text.Tokens);
            Assert.Equal(cached, text.Started.CachedTokens);
        }

        int[] next = [.. prompt, .. expected, 10, 10];
        Assert.Equal(reference.Complete(next, 30), (await Cluster.MonolithicAsync(both, next, 30)).Tokens);
        await both.IdleAsync();
    }

    [Fact]
    public async Task Old_prompts_are_forgotten_when_their_room_is_needed()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill, o => o with { CacheTokens = 1024 }), decode = await cluster.StartAsync("d", Phase.Decode, o => o with { CacheTokens = 1024 });
        for (int i = 0; i < 6; i++)
        {
            int[] prompt = ReferenceText.Passage(400 * i, 300);
            Assert.Equal(reference.Complete(prompt, 12), (await cluster.HandedAsync(prefill, decode, prompt, 12)).Tokens);
            await decode.IdleAsync();
        }

        Assert.True(decode.Local.Cache.Prefixes.Units <= 16, $"{decode.Local.Cache.Prefixes.Units} units are kept in a cache of 16 blocks.");
        await prefill.IdleAsync();
    }
}
