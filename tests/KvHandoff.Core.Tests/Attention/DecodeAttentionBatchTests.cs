using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

public sealed class DecodeAttentionBatchTests
{
    const int QueryHeads = 4;

    static readonly (int Tokens, int QueryTokens)[] Ragged = [(0, 1), (1, 1), (700, 2), (64, 1), (5, 16), (1100, 1), (0, 3), (63, 16), (65, 1), (513, 5)];

    static readonly int?[] ThreadCounts = [null, 1, 2, 3, 8];

    public static TheoryData<string> Families => AttentionFamilies.Names;

    [Theory]
    [MemberData(nameof(Families))]
    public void A_sequence_gets_the_bits_that_it_gets_alone(string family)
    {
        LayerGroup group = AttentionFamilies.Group(family);
        var sequences = Ragged.Select((shape, i) => new StoredCase(group, shape.Tokens, seed: i + 1)).ToArray();
        float[][] queries = [.. Ragged.Select((shape, i) => sequences[i].Query(QueryHeads, shape.QueryTokens, i))];
        var options = new AttentionOptions(WindowTokens: 1000) { LogitCap = 4, Sinks = new float[] { 1, -1, 0, 2 } };
        var batch = new DecodeAttentionBatch();
        foreach (AttentionOptions chosen in (AttentionOptions[])[default, options])
        {
            foreach (KernelTarget target in KernelChoices.All)
            {
                (float[] Output, float[] LogSumExp)[] alone = [.. sequences.Select((s, i) => s.Run(target, QueryHeads, queries[i], chosen))];
                foreach (int? count in ThreadCounts)
                {
                    // Once as they are and once with some left out: what is kept from run to run must not matter.
                    foreach (int step in (int[])(count == 2 ? [1, 3] : [1]))
                    {
                        int[] members = [.. Enumerable.Range(0, sequences.Length).Where(i => i % step == 0)];
                        batch.Clear();
                        foreach (int i in members) batch.Add(sequences[i].Sequence, Ragged[i].Tokens, Ragged[i].QueryTokens);
                        (float[] output, float[] logSumExp) = Run(batch, target, group, [.. members.SelectMany(i => queries[i])], chosen, count);
                        string what = $"{KernelChoices.Name(target)} on {count?.ToString() ?? "no"} threads";
                        AttentionBits.Same([.. members.SelectMany(i => alone[i].Output)], output, what);
                        AttentionBits.Same([.. members.SelectMany(i => alone[i].LogSumExp)], logSumExp, what);
                    }
                }
            }
        }

        foreach (StoredCase sequence in sequences) sequence.Dispose();
    }

    [Fact]
    public void Counts_follow_what_was_added()
    {
        using var sequence = new StoredCase(StoredForms.Plain(ElementType.Float32), 10);
        var batch = new DecodeAttentionBatch();
        Assert.Equal((0, 0), (batch.Count, batch.QueryTokens));
        batch.Add(sequence.Sequence, 10, 3);
        batch.Add(sequence.Sequence, 4);
        Assert.Equal((2, 4), (batch.Count, batch.QueryTokens));
        batch.Clear();
        Assert.Equal((0, 0), (batch.Count, batch.QueryTokens));
        // An empty batch takes empty spans only.
        batch.Run(StoredCase.Layer, 2, [], default, [], []);
        string message = Assert.Throws<ArgumentException>(() => batch.Run(StoredCase.Layer, 2, new float[3], default, new float[4], new float[5])).Message;
        Assert.All((string[])["3", "4", "5", "empty"], part => Assert.Contains(part, message, StringComparison.Ordinal));
    }

    [Fact]
    public void Runs_allocate_nothing()
    {
        LayerGroup group = StoredForms.Scaled(ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead, ScaleType.BFloat16);
        using StoredCase one = new(group, 700), two = new(group, 90), three = new(group, 1, seed: 4);
        var batch = new DecodeAttentionBatch();
        float[] query = one.Query(QueryHeads, 4), output = new float[query.Length], logSumExp = new float[4 * QueryHeads];
        var threads = new AttentionThreads(2);
        foreach (AttentionThreads? chosen in (AttentionThreads?[])[null, threads])
        {
            long least = long.MaxValue;
            for (int round = 0; round < 8; round++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                batch.Clear();
                batch.Add(one.Sequence, 700);
                batch.Add(two.Sequence, 90, 2);
                batch.Add(three.Sequence, 1);
                batch.Run(StoredCase.Layer, QueryHeads, query, default, output, logSumExp, chosen);
                least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            }

            Assert.Equal(0, least);
        }
    }

    [Fact]
    public void What_does_not_fit_is_refused()
    {
        using StoredCase sequence = new(StoredForms.Plain(ElementType.Float32), 100), latent = new(AttentionFamilies.Group("bf16") with { Kind = AttentionKind.Latent, KvHeads = 1 }, 10);
        var batch = new DecodeAttentionBatch();
        Assert.Throws<ArgumentNullException>(() => batch.Add(null!, 1));
        Refused<ArgumentOutOfRangeException>(() => batch.Add(sequence.Sequence, -1), "-1", "128");
        Refused<ArgumentOutOfRangeException>(() => batch.Add(sequence.Sequence, 129), "129", "128");
        Refused<ArgumentOutOfRangeException>(() => batch.Add(sequence.Sequence, 100, 0), "0 query", "1 to 16");
        Refused<ArgumentOutOfRangeException>(() => batch.Add(sequence.Sequence, 100, 17), "17", "1 to 16");
        Assert.Equal(0, batch.Count);
        batch.Add(sequence.Sequence, 100, 2);
        Refused<ArgumentException>(() => Run(new AttentionOptions { QueryPosition = 3 }), "position");
        Refused<ArgumentException>(() => Run(new AttentionOptions(StartToken: 3)), "part");
        Refused<ArgumentException>(() => Run(new AttentionOptions(EndToken: 100)), "part");
        Refused<ArgumentException>(() => Run(default, queryTokens: 1), "1", "2");
        Refused<ArgumentException>(() => Run(default, queryTokens: 3), "3", "2");
        Refused<ArgumentException>(() => Run(default, heads: 3), "3 query heads", "2 kv heads");
        Refused<ArgumentException>(() => batch.RunLatent(StoredCase.Layer, 2, 64, new float[256], new(SoftmaxScale: 1), new float[256], new float[4]), "Full", "Latent");
        Refused<ArgumentException>(() => batch.RunLatent(StoredCase.Layer, 2, 0, new float[256], new(SoftmaxScale: 1), new float[256], new float[4]), "0", "1 or more");
        // A refused run leaves the batch as it was.
        Run(default);
        batch.Clear();
        batch.Add(latent.Sequence, 10);
        Refused<ArgumentException>(() => Run(default, queryTokens: 1), "Latent", "Full");
        Refused<ArgumentException>(() => batch.RunLatent(StoredCase.Layer, 2, 65, new float[128], new(SoftmaxScale: 1), new float[130], new float[2]), "65", "64");

        void Run(AttentionOptions options, int queryTokens = 2, int heads = 4) =>
            batch.Run(StoredCase.Layer, heads, new float[queryTokens * heads * 64], options, new float[queryTokens * heads * 64], new float[queryTokens * heads]);
    }

    static void Refused<TException>(Action run, params string[] named)
        where TException : Exception
    {
        string message = Assert.Throws<TException>(run).Message;
        Assert.All(named, name => Assert.Contains(name, message, StringComparison.Ordinal));
    }

    static (float[] Output, float[] LogSumExp) Run(DecodeAttentionBatch batch, KernelTarget target, LayerGroup group, float[] query, AttentionOptions options, int? threads)
    {
        var output = new float[query.Length];
        var logSumExp = new float[query.Length / group.HeadDim];
        Array.Fill(output, float.NaN);
        Array.Fill(logSumExp, float.NaN);
        batch.Run(target, StoredCase.Layer, QueryHeads, latentDim: 0, query, options, output, logSumExp, threads is { } count ? new AttentionThreads(count) : null);
        return (output, logSumExp);
    }
}
