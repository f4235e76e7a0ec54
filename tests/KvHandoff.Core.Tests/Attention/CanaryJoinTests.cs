using System.Collections.Immutable;
using KvHandoff.Attention;
using KvHandoff.Layout;

namespace KvHandoff.Tests.Attention;

/// <summary>Parts of a softmax over a sequence that several receivers hold, against the softmax over all of it in double.</summary>
public sealed class CanaryJoinTests
{
    private const int Tokens = 96, Dim = 8;
    private readonly double[] _logits;
    private readonly float[] _values = new float[Tokens * Dim];

    public CanaryJoinTests()
    {
        var random = new Random(4);
        _logits = [.. Enumerable.Range(0, Tokens).Select(_ => random.NextDouble() * 6 - 3)];
        foreach (ref float x in _values.AsSpan()) x = (float)(random.NextDouble() * 2 - 1);
    }

    [Fact]
    public void Parts_that_hold_all_tokens_give_what_the_sender_gave()
    {
        CanaryShare[] shares = [Share(0, 0, 20), Share(1, 20, 64), Share(2, 64, Tokens)];
        Assert.Null(CanaryJoin.FirstDeviation(shares));
        Assert.Null(CanaryJoin.FirstDeviation(shares.Reverse()));
    }

    [Fact]
    public void One_wrong_part_of_several_is_found_and_named()
    {
        CanaryShare[] shares = [Share(0, 0, 20), Wrong(Share(1, 20, 64)), Share(2, 64, Tokens)];
        string? found = CanaryJoin.FirstDeviation(shares);
        Assert.StartsWith("The attention of layer 5, head 7 differs by ", found);
        Assert.Contains("allowed: 0.01, over tokens 0..20 of receiver 0, 20..64 of receiver 1, 64..96 of receiver 2.", found);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Every_replica_is_compared(int wrong)
    {
        CanaryShare[] shares = [Share(0, 0, 48), Share(1, 0, 48), Share(2, 48, Tokens), Share(3, 48, Tokens)];
        Assert.Null(CanaryJoin.FirstDeviation(shares));
        shares[wrong] = Wrong(shares[wrong]);
        Assert.NotNull(CanaryJoin.FirstDeviation(shares));
    }

    [Fact]
    public void Ranges_that_overlap_are_joined_only_where_they_fit()
    {
        // 0..48, 48..96 and 0..32, 32..96 are the two ways to hold all; 32..96 must not be joined with 0..48.
        CanaryShare[] shares = [Share(0, 0, 48), Share(1, 48, Tokens), Share(2, 0, 32), Share(3, 32, Tokens)];
        Assert.Null(CanaryJoin.FirstDeviation(shares));
        for (int i = 0; i < shares.Length; i++) Assert.NotNull(CanaryJoin.FirstDeviation(shares.Select((s, at) => at == i ? Wrong(s) : s)));
    }

    [Fact]
    public void A_pair_whose_tokens_were_not_all_reported_is_not_compared()
    {
        Assert.Null(CanaryJoin.FirstDeviation([Share(0, 0, 20), Wrong(Share(2, 64, Tokens))]));
        Assert.Null(CanaryJoin.FirstDeviation([]));
    }

    [Fact]
    public void Tokens_beyond_those_that_are_attended_do_not_count()
    {
        CanaryShare[] shares = [Share(0, 0, 48), Share(1, 48, Tokens), new CanaryShare(2, new IndexRange(Tokens, 64), Empty())];
        Assert.Null(CanaryJoin.FirstDeviation(shares));
    }

    [Fact]
    public void A_sink_takes_its_weight_once()
    {
        (float[] output, double sum) = Attend(0, Tokens);
        float sink = (float)Math.Log(sum);
        float[] expected = [.. output.Select(x => x / 2)];
        CanaryShare[] shares = [With(Share(0, 0, 48)), With(Share(1, 48, Tokens))];
        Assert.Null(CanaryJoin.FirstDeviation(shares));
        Assert.NotNull(CanaryJoin.FirstDeviation([.. shares.Select(s => s with { Partial = s.Partial with { Sink = null } })]));

        CanaryShare With(CanaryShare share) => share with { Partial = share.Partial with { Sink = sink, Expected = expected } };
    }

    [Fact]
    public void The_coarsest_part_sets_the_tolerance_and_no_number_passes_none()
    {
        CanaryShare Coarse(CanaryShare share, CanaryPrecision precision) => share with { Partial = share.Partial with { Precision = precision } };
        float[] near = [.. Share(0, 0, 48).Partial.Output.ToArray().Select(x => x * 1.04f)];
        CanaryShare off = Share(0, 0, 48) with { Partial = Share(0, 0, 48).Partial with { Output = near } };
        Assert.NotNull(CanaryJoin.FirstDeviation([off, Share(1, 48, Tokens)]));
        Assert.Null(CanaryJoin.FirstDeviation([off, Coarse(Share(1, 48, Tokens), CanaryPrecision.Coarse8)]));
        CanaryShare nan = Share(0, 0, 48) with { Partial = Share(0, 0, 48).Partial with { LogSumExp = float.NaN } };
        Assert.NotNull(CanaryJoin.FirstDeviation([Coarse(nan, CanaryPrecision.Coarse8), Share(1, 48, Tokens)]));
        CanaryShare[] blind = [.. new[] { Share(0, 0, 48), Share(1, 48, Tokens) }.Select(s => s with { Partial = s.Partial with { LogSumExp = float.NegativeInfinity } })];
        Assert.NotNull(CanaryJoin.FirstDeviation(blind));
    }

    [Fact]
    public void States_of_different_queries_under_one_name_are_refused()
    {
        CanaryShare other = Share(1, 48, Tokens);
        Assert.Contains("not of one query", CanaryJoin.FirstDeviation([Share(0, 0, 48), other with { Partial = other.Partial with { Output = new float[Dim + 1], Expected = new float[Dim + 1] } }]));
        Assert.Contains("not of one query", CanaryJoin.FirstDeviation([Share(0, 0, 48), other with { Partial = other.Partial with { Head = 8 } }]));
    }

    [Fact]
    public void Partials_travel_in_as_many_messages_as_they_need()
    {
        CanaryPartial one = Share(0, 0, 48).Partial;
        var many = new List<CanaryPartial>();
        for (int i = 0; i < 300; i++) many.Add(one with { Query = (UInt128)i << 64, Head = i, Sink = i % 2 == 0 ? null : i, Output = new float[200], Expected = new float[200] });
        ImmutableArray<byte[]> messages = CanaryPartialCodec.Write(many)!.Value;
        Assert.InRange(messages.Length, 3, 4);
        var read = new List<CanaryPartial>();
        for (int i = 0; i < messages.Length; i++)
        {
            Assert.InRange(messages[i].Length, 1, CanaryPartialCodec.MaxMessageBytes);
            Assert.Null(CanaryPartialCodec.TryRead(messages[i], out int number, out int count, out ImmutableArray<CanaryPartial> partials));
            Assert.Equal((i, messages.Length), (number, count));
            read.AddRange(partials);
        }

        Assert.Equal(many.Select(Text), read.Select(Text));
        Assert.Empty(CanaryPartialCodec.Write([])!.Value);
        Assert.Null(CanaryPartialCodec.Write([.. Enumerable.Repeat(one with { Output = new float[4096], Expected = new float[4096] }, 6 * CanaryPartialCodec.MaxMessages)]));

        static string Text(CanaryPartial p) => $"{p.Query} {p.Layer} {p.Head} {p.Attended} {p.IsSeeded} {p.Precision} {p.Sink} {p.LogSumExp} {string.Join(' ', p.Output.ToArray())} {string.Join(' ', p.Expected.ToArray())}";
    }

    [Fact]
    public void Damaged_messages_are_refused_or_read_and_never_throw()
    {
        byte[] bytes = CanaryPartialCodec.Write([Share(0, 0, 48).Partial, Share(1, 48, Tokens).Partial with { Sink = 1 }])!.Value[0];
        for (int length = 0; length < bytes.Length; length++) Assert.NotEmpty(Read(bytes[..length])!);
        Assert.NotEmpty(Read([.. bytes, 0])!);
        for (int i = 0; i < bytes.Length; i++)
        {
            foreach (byte mask in (byte[])[1, 128, 255])
            {
                byte[] changed = [.. bytes];
                changed[i] ^= mask;
                string? error = Read(changed);
                // Magic, version and counts have one meaning, and the reserved fields none.
                if (i is < 8 or (>= 12 and < 16) || i == 16 + 44) Assert.NotNull(error);
            }
        }

        static string? Read(byte[] source) => CanaryPartialCodec.TryRead(source, out _, out _, out _);
    }

    private CanaryShare Share(int member, int start, int end)
    {
        (float[] output, double sum) = Attend(start, end);
        var partial = new CanaryPartial(77, 5, 7, new IndexRange(0, Tokens), false, CanaryPrecision.Exact, null, (float)Math.Log(sum), output, Attend(0, Tokens).Output);
        return new CanaryShare(member, new IndexRange(start, end - start), partial);
    }

    private CanaryPartial Empty() => Share(9, 0, 1).Partial with { Output = new float[Dim], LogSumExp = float.NegativeInfinity };

    private static CanaryShare Wrong(CanaryShare share) => share with { Partial = share.Partial with { Output = share.Partial.Output.ToArray().Reverse().ToArray() } };

    private (float[] Output, double Sum) Attend(int start, int end)
    {
        var output = new double[Dim];
        double sum = 0;
        for (int t = start; t < end; t++)
        {
            double weight = Math.Exp(_logits[t]);
            sum += weight;
            for (int d = 0; d < Dim; d++) output[d] += weight * _values[t * Dim + d];
        }

        return ([.. output.Select(x => (float)(x / sum))], sum);
    }
}
