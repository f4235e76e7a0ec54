using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Core.Tests.Layout;

public sealed class PrefixHashTests
{
    private static readonly ModelIdentity Model = new("llama-é", "0123abcd", 500_000, "llama3:8");

    [Fact]
    public void Hashes_are_those_of_an_independent_implementation()
    {
        // Made with Python's hashlib and struct from the description of PrefixHash.
        int[] tokens = [.. Enumerable.Range(0, 200).Select(i => (int)((long)i * i * 2_654_435_761 % (1L << 31)))];
        Assert.Equal("91c1a84886ef7c976953ec0b980cf49e", PrefixHash.Root(Model).ToString());
        Assert.Equal(["61f6f8c1be4e1fae6784652bd71bc47c", "9fc43aee2c80e2d7d7bd82fd59cc264b", "919a7a3a4e0fe359fac3f3fd39ada9f0"],
            PrefixHash.Chain(Model, tokens).Select(h => h.ToString()));
        Assert.Equal("024b9bceae8e19e3eba829248d151edf", PrefixHash.Root(Model, "tenant-7"u8).ToString());
        Assert.Equal(["c35d7eceb68ed37ae3154500fb774225"], PrefixHash.Chain(Model, [.. Enumerable.Range(0, 64)], "tenant-7"u8).Select(h => h.ToString()));
    }

    [Fact]
    public void All_that_decides_the_content_changes_the_root()
    {
        PrefixHash[] roots =
        [
            PrefixHash.Root(Model), PrefixHash.Root(Model with { Name = "llama-e" }), PrefixHash.Root(Model with { Revision = "0123abce" }),
            PrefixHash.Root(Model with { RopeTheta = 500_001 }), PrefixHash.Root(Model with { RopeScaling = "" }), PrefixHash.Root(Model, [0]),
            // A character moved from one field to the next.
            PrefixHash.Root(new ModelIdentity("ab", "c", 0)), PrefixHash.Root(new ModelIdentity("a", "bc", 0)),
        ];
        Assert.Equal(roots.Length, roots.Distinct().Count());
    }

    [Fact]
    public void A_token_changes_its_granule_and_all_behind_it()
    {
        int[] tokens = [.. Enumerable.Range(0, 64 * 5)], changed = [.. tokens];
        changed[64 * 2 + 63]++;
        ImmutableArray<PrefixHash> a = PrefixHash.Chain(Model, tokens), b = PrefixHash.Chain(Model, changed);
        Assert.Equal([true, true, false, false, false], a.Zip(b, (x, y) => x == y));
        // Equal granules at different places are different content.
        ImmutableArray<PrefixHash> same = PrefixHash.Chain(Model, new int[64 * 4]);
        Assert.Equal(4, same.Distinct().Count());
        Assert.Empty(PrefixHash.Chain(Model, new int[63]));
        Assert.Contains("63", Assert.Throws<ArgumentException>(() => PrefixHash.Root(Model).Next(new int[63])).Message);
    }

    [Fact]
    public void Bytes_are_read_back()
    {
        PrefixHash hash = PrefixHash.Root(Model);
        var bytes = new byte[PrefixHash.Bytes];
        hash.Write(bytes);
        Assert.Equal(hash.ToString(), Convert.ToHexStringLower(bytes));
        Assert.Equal(hash, PrefixHash.Read(bytes));
    }
}
