using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

public sealed class PagedPrefillAttentionTests
{
    const int QueryHeads = 4;

    public static TheoryData<string> Families => AttentionFamilies.Names;

    static AttentionOptions[] Options =>
    [
        default,
        new AttentionOptions(WindowTokens: 70) { LogitCap = 3, Sinks = new float[] { 1, -1, 0, 2 } },
        new AttentionOptions(SoftmaxScale: 0.2f, WindowTokens: 1) { Weights = SoftmaxWeights.BFloat16 },
    ];

    [Theory]
    [MemberData(nameof(Families))]
    public void Agrees_with_double_precision(string family)
    {
        LayerGroup group = AttentionFamilies.Group(family);
        foreach ((int tokens, int queryTokens) in ((int, int)[])[(1, 1), (64, 64), (150, 150), (300, 45)])
        {
            using var stored = new StoredCase(group, tokens);
            float[] query = stored.Query(QueryHeads, queryTokens);
            foreach (AttentionOptions options in Options)
            {
                ReferenceAttention expected = ReferenceAttention.Attend(stored, query, QueryHeads, options, onePart: true);
                foreach (KernelTarget target in KernelChoices.All)
                {
                    (float[] output, float[] logSumExp) = Run(target, stored, tokens, query, options, threads: 2);
                    expected.Check(output, logSumExp, $"{KernelChoices.Name(target)}: {queryTokens} of {tokens}, {options}");
                }
            }
        }
    }

    [Theory]
    [InlineData(4, 4)]
    [InlineData(64, 8)]
    [InlineData(32, 1)]
    [InlineData(128, 1)]
    [InlineData(129, 1)]
    [InlineData(300, 2)]
    public void Heads_of_any_number_agree(int queryHeads, int kvHeads)
    {
        using var stored = new StoredCase(StoredForms.Plain(ElementType.BFloat16, kvHeads, dim: 32), 75);
        float[] query = stored.Query(queryHeads, 70);
        ReferenceAttention expected = ReferenceAttention.Attend(stored, query, queryHeads, default, onePart: true);
        foreach (KernelTarget target in KernelChoices.All)
        {
            (float[] output, float[] logSumExp) = Run(target, stored, 75, query, default, threads: 2, queryHeads);
            expected.Check(output, logSumExp, KernelChoices.Name(target));
        }
    }

    /// <remarks>
    /// Where scales lie in the blocks, a chunk that ends inside a tile sees its last tokens in BF16: there, chunks end with tiles.
    /// </remarks>
    [Theory]
    [MemberData(nameof(Families))]
    public void Chunks_and_threads_do_not_change_a_bit(string family)
    {
        const int tokens = 201;
        LayerGroup group = AttentionFamilies.Group(family);
        using var stored = new StoredCase(group, tokens);
        float[] query = stored.Query(QueryHeads, tokens);
        foreach (AttentionOptions options in Options[..2])
        {
            int[] chunks = group.HasTail ? [64, 128] : options == default ? [1, 64] : [7, 100];
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] output, float[] logSumExp) = Run(target, stored, tokens, query, options, threads: null);
                foreach (int? threads in (int?[])[1, 2, 3])
                {
                    (float[] other, float[] otherLogSumExp) = Run(target, stored, tokens, query, options, threads);
                    AttentionBits.Same(output, other, $"{KernelChoices.Name(target)} on {threads} threads");
                    AttentionBits.Same(logSumExp, otherLogSumExp, $"{KernelChoices.Name(target)} on {threads} threads");
                }

                foreach (int chunk in chunks)
                {
                    int perToken = QueryHeads * group.HeadDim;
                    var prefill = new PagedPrefillAttention();
                    float[] other = new float[output.Length], otherLogSumExp = new float[logSumExp.Length];
                    for (int start = 0; start < tokens; start += chunk)
                    {
                        int end = Math.Min(tokens, start + chunk);
                        prefill.Run(target, stored.Sequence, StoredCase.Layer, end, QueryHeads, query.AsSpan(start * perToken, (end - start) * perToken), options,
                            other.AsSpan(start * perToken, (end - start) * perToken), otherLogSumExp.AsSpan(start * QueryHeads, (end - start) * QueryHeads), null);
                    }

                    AttentionBits.Same(output, other, $"{KernelChoices.Name(target)} in chunks of {chunk}, {options}");
                    AttentionBits.Same(logSumExp, otherLogSumExp, $"{KernelChoices.Name(target)} in chunks of {chunk}, {options}");
                }
            }
        }
    }

    /// <remarks>With such blocks a tile's first token depends on where the walk begins, and that on the window of the chunk's first query.</remarks>
    [Theory]
    [InlineData(100)]
    [InlineData(36)]
    [InlineData(7)]
    public void Chunks_do_not_change_a_bit_in_blocks_that_are_no_whole_tiles(int blockTokens)
    {
        const int tokens = 320, queryHeads = 32;
        using var stored = new StoredCase(StoredForms.Plain(ElementType.BFloat16, dim: 32, blockTokens: blockTokens), tokens);
        float[] query = stored.Query(queryHeads, tokens);
        foreach (int window in (int[])[50, 150])
        {
            var options = new AttentionOptions(WindowTokens: window);
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] output, _) = Run(target, stored, tokens, query, options, threads: null, queryHeads);
                foreach (int chunk in (int[])[5, 64])
                {
                    var other = new float[output.Length];
                    for (int start = 0; start < tokens; start += chunk)
                    {
                        int end = Math.Min(tokens, start + chunk), at = start * queryHeads * 32, count = (end - start) * queryHeads * 32;
                        new PagedPrefillAttention().Run(target, stored.Sequence, StoredCase.Layer, end, queryHeads, query.AsSpan(at, count), options, other.AsSpan(at, count), new float[count / 32], null);
                    }

                    AttentionBits.Same(output, other, $"{KernelChoices.Name(target)} in chunks of {chunk}, window {window}");
                }
            }
        }
    }

    [Fact]
    public void Runs_allocate_nothing()
    {
        using var stored = new StoredCase(StoredForms.Scaled(ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead), 200);
        float[] query = stored.Query(QueryHeads, 150), output = new float[query.Length], logSumExp = new float[150 * QueryHeads];
        var prefill = new PagedPrefillAttention();
        foreach (AttentionThreads? threads in (AttentionThreads?[])[null, new AttentionThreads(2)])
        {
            long least = long.MaxValue;
            for (int round = 0; round < 8; round++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                prefill.Run(stored.Sequence, StoredCase.Layer, 200, QueryHeads, query, default, output, logSumExp, threads);
                least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            }

            Assert.Equal(0, least);
        }
    }

    [Fact]
    public void What_does_not_fit_is_refused_with_both_values()
    {
        using StoredCase stored = new(StoredForms.Plain(ElementType.Float32), 100), latent = new(StoredForms.Plain(ElementType.Float32, kvHeads: 1) with { Kind = AttentionKind.Latent }, 10);
        var prefill = new PagedPrefillAttention();
        Assert.Throws<ArgumentNullException>(() => prefill.Run(null!, 0, 1, 2, new float[128], default, new float[128], new float[2]));
        Refused(stored, -1, 2, 2, default, "-1", "128");
        Refused(stored, 129, 2, 2, default, "129", "128");
        Refused(stored, 3, 4, 2, default, "4", "3");
        Refused(stored, 100, 2, 3, default, "3 query heads", "2 kv heads");
        Refused(stored, 100, 2, 2, new(StartToken: 1), "part");
        Refused(stored, 100, 2, 2, new(EndToken: 100), "part");
        Refused(stored, 100, 2, 2, new AttentionOptions { QueryPosition = 98 }, "position");
        Refused(stored, 100, 2, 2, new(WindowTokens: -1), "-1", "0 or more");
        Refused(latent, 10, 2, 2, default, "Latent", "Full");

        void Refused(StoredCase sequence, int tokens, int queryTokens, int heads, AttentionOptions options, params string[] named)
        {
            int rows = queryTokens * heads;
            string message = Assert.Throws<ArgumentException>(() => prefill.Run(sequence.Sequence, StoredCase.Layer, tokens, heads, new float[rows * 64], options, new float[rows * 64], new float[rows])).Message;
            Assert.All(named, name => Assert.Contains(name, message, StringComparison.Ordinal));
        }
    }

    static (float[] Output, float[] LogSumExp) Run(KernelTarget target, StoredCase stored, int tokens, float[] query, AttentionOptions options, int? threads, int queryHeads = QueryHeads)
    {
        var output = new float[query.Length];
        var logSumExp = new float[query.Length / stored.Group.HeadDim];
        Array.Fill(output, float.NaN);
        Array.Fill(logSumExp, float.NaN);
        new PagedPrefillAttention().Run(target, stored.Sequence, StoredCase.Layer, tokens, queryHeads, query, options, output, logSumExp, threads is { } count ? new AttentionThreads(count) : null);
        return (output, logSumExp);
    }
}
