using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Tests.Routing;

public sealed class PrefixMemoryTests
{
    [Fact]
    public void Only_whole_granules_from_the_beginning_count()
    {
        var memory = new PrefixMemory(100);
        int[] tokens = [.. Enumerable.Range(0, 300).Select(i => i % 256)];
        memory.Remember(PrefixMemory.Chain("m", "r", tokens), "w");
        Assert.Equal(256, memory.Held(PrefixMemory.Chain("m", "r", tokens))["w"]);
        int[] other = [.. tokens];
        other[130] ^= 1;
        Assert.Equal(128, memory.Held(PrefixMemory.Chain("m", "r", other))["w"]);
        Assert.Empty(memory.Held(PrefixMemory.Chain("m", "other revision", tokens)));
        Assert.Empty(memory.Held(PrefixMemory.Chain("m", "r", tokens.AsSpan(0, 63))));
    }

    [Fact]
    public void A_worker_holds_no_more_than_where_its_own_chain_ends()
    {
        var memory = new PrefixMemory(100);
        int[] tokens = [.. Enumerable.Range(0, 256)];
        memory.Remember(PrefixMemory.Chain("m", "r", tokens), "long");
        memory.Remember(PrefixMemory.Chain("m", "r", tokens.AsSpan(0, 128)), "short");
        Dictionary<string, int> held = memory.Held(PrefixMemory.Chain("m", "r", tokens));
        Assert.Equal((256, 128), (held["long"], held["short"]));
    }

    [Fact]
    public void It_is_bounded_and_forgets_the_least_recently_used()
    {
        var memory = new PrefixMemory(10);
        int[] first = Tokens(1), second = Tokens(2);
        memory.Remember(PrefixMemory.Chain("m", "r", first), "w");
        for (int i = 2; i < 50; i++) memory.Remember(PrefixMemory.Chain("m", "r", Tokens(i)), "w");
        Assert.Equal(10, memory.Count);
        Assert.Empty(memory.Held(PrefixMemory.Chain("m", "r", first)));
        Assert.Empty(memory.Held(PrefixMemory.Chain("m", "r", second)));
        Assert.Equal(64, memory.Held(PrefixMemory.Chain("m", "r", Tokens(49)))["w"]);
    }

    [Fact]
    public void A_worker_that_is_gone_holds_nothing()
    {
        var memory = new PrefixMemory(100);
        memory.Remember(PrefixMemory.Chain("m", "r", Tokens(1)), "gone");
        memory.Remember(PrefixMemory.Chain("m", "r", Tokens(1)), "there");
        memory.Remember(PrefixMemory.Chain("m", "r", Tokens(2)), "gone");
        memory.Forget("gone");
        Assert.Equal(["there"], memory.Held(PrefixMemory.Chain("m", "r", Tokens(1))).Keys);
        Assert.Equal(1, memory.Count);
    }

    private static int[] Tokens(int seed) => [.. Enumerable.Repeat(seed, 64)];
}
