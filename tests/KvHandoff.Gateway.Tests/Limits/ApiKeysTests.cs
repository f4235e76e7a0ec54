using KvHandoff.Gateway.Limits;

namespace KvHandoff.Gateway.Tests.Limits;

public sealed class ApiKeysTests
{
    [Fact]
    public void Each_key_has_its_own_account_and_its_name()
    {
        ApiKeys keys = Parse("# ours", "", "first-key alice   # a comment", "second-key");
        Assert.True(keys.Required);
        KeyAccount alice = keys.Find("Bearer first-key")!;
        Assert.Equal("alice", alice.Name);
        Assert.Same(alice, keys.Find("bearer first-key"));
        Assert.NotSame(alice, keys.Find("Bearer second-key"));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("first-key")]
    [InlineData("Basic first-key")]
    [InlineData("Bearer first-ke")]
    [InlineData("Bearer first-keyy")]
    [InlineData("Bearer ")]
    public void Nothing_else_is_let_in(string? authorization) => Assert.Null(Parse("first-key alice").Find(authorization));

    [Fact]
    public void Without_keys_everyone_shares_one_account()
    {
        ApiKeys keys = Parse("# none");
        Assert.False(keys.Required);
        Assert.Same(keys.Find(null), keys.Find("Bearer whatever"));
    }

    [Theory]
    [InlineData("# none")]
    [InlineData("first-key alice")]
    public void A_lent_key_is_known_until_it_is_given_back_and_changes_nothing_for_others(string line)
    {
        ApiKeys keys = Parse(line);
        KeyAccount? nobody = keys.Find("Bearer whatever"), client = keys.Find("Bearer first-key");
        LentKey lent = keys.Lend();
        Assert.True(keys.Find("Bearer " + lent.Text)!.IsOwn);
        Assert.Throws<InvalidOperationException>(keys.Lend);
        Assert.Same(nobody, keys.Find(null));
        Assert.Same(nobody, keys.Find("Bearer whatever"));
        Assert.Same(client, keys.Find("Bearer first-key"));
        lent.Dispose();
        Assert.Same(nobody, keys.Find("Bearer " + lent.Text));
        using LentKey another = keys.Lend();
        Assert.NotEqual(lent.Text, another.Text);
        lent.Dispose();
        Assert.True(keys.Find("Bearer " + another.Text)!.IsOwn);
    }

    [Theory]
    [InlineData("short", "1")]
    [InlineData("a-good-key one two", "1")]
    public void A_line_that_is_no_key_is_refused_by_number_and_never_shown(string line, string number)
    {
        var e = Assert.Throws<FormatException>(() => Parse(line));
        Assert.Contains($"Line {number}", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(line.Split(' ')[0], e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_environment_adds_to_the_file()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "from-the-file\n");
            ApiKeys keys = ApiKeys.Load(file, "from-the-environment, another-one", new RateLimits(), TimeProvider.System);
            Assert.All(["from-the-file", "from-the-environment", "another-one"], key => Assert.NotNull(keys.Find("Bearer " + key)));
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static ApiKeys Parse(params string[] lines) => ApiKeys.Parse(lines, new RateLimits(), TimeProvider.System);
}
