using System.Collections.Immutable;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

// Receivers and senders that hold a part of the model or of the sequence.
public sealed partial class AttentionCanaryTests
{
    [Theory]
    [InlineData("gqa", 2)]
    [InlineData("mqa", 1)]
    [InlineData("window", 2)]
    [InlineData("mla", 1)]
    public void Receivers_that_hold_parts_join_theirs(string name, int tensor)
    {
        using CanaryCase sent = CanaryCase.Create(name, Tokens);
        foreach (CanarySet set in (CanarySet[])[sent.Seeded(), sent.Engine()])
        {
            var parts = new List<CanaryStates>();
            for (int rank = 0; rank < tensor; rank++)
            {
                for (int pipeline = 0; pipeline < 2; pipeline++)
                {
                    for (int context = 0; context < 2; context++)
                    {
                        KvShard shard = KvShard.TensorParallel(sent.Layout, Tokens, rank, tensor).PipelineParallel(pipeline, 2).ContextParallel(context, 2);
                        KvSequence held = Shard(sent, shard);
                        parts.Add(AttentionCanary.Attend(held, shard.Tokens.Count, set, sent.Layout, shard));
                    }
                }
            }

            CanaryResult whole = AttentionCanary.Compare(sent.Layout, set, CanaryStates.Merge(parts), CanaryPrecision.Exact);
            Assert.True(whole.HasPassed, whole.Text);
            // Without the first part a head lacks tokens, without all of a layer's its pair is not held.
            Assert.Equal(CanaryOutcome.Deviates, AttentionCanary.Compare(sent.Layout, set, CanaryStates.Merge(parts[1..]), CanaryPrecision.Exact).Outcome);
            Assert.Equal(CanaryOutcome.NotHeld, AttentionCanary.Compare(sent.Layout, set, CanaryStates.Merge([parts[0], parts[1]]), CanaryPrecision.Exact).Outcome);
            // The wire between receivers carries numbers.
            CanaryStates carried = CanaryStates.From([.. Enumerable.Range(0, set.Pairs.Length).Select(i => (ReadOnlyMemory<float>)parts[0].Output(i).ToArray())], [.. Enumerable.Range(0, set.Pairs.Length).Select(parts[0].LogSumExpOf)]);
            Assert.True(AttentionCanary.Compare(sent.Layout, set, CanaryStates.Merge([carried, .. parts[1..]]), CanaryPrecision.Exact).HasPassed);
        }
    }

    [Fact]
    public void A_sender_of_a_part_tests_its_part()
    {
        using CanaryCase sent = CanaryCase.Create("gqa", Tokens);
        KvShard shard = KvShard.TensorParallel(sent.Layout, Tokens, 1, 2).PipelineParallel(0, 2).ContextParallel(1, 2);
        KvSequence part = Shard(sent, shard);
        CanarySet set = AttentionCanary.CreateSeeded(part, shard.Tokens.Count, CanaryCase.Id, [(0, 2), (0, 3), (0, 0), (2, 3)], sent.Layout, shard)!;
        Assert.Equal([(0, 2), (0, 3)], set.Pairs.Select(p => (p.Layer, p.Head)));
        Assert.Equal((128, Tokens), (set.FirstToken, set.Tokens));
        CanaryResult result = AttentionCanary.Verify(sent.Land(KvCodecs.Raw), set, CanaryPrecision.Exact);
        Assert.True(result.HasPassed, result.Text);
        Assert.Null(AttentionCanary.CreateSeeded(part, shard.Tokens.Count, CanaryCase.Id, [(2, 3)], sent.Layout, shard));
    }
}
