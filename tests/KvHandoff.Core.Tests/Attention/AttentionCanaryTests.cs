using System.Collections.Immutable;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>What the canary finds although every checksum would pass.</summary>
public sealed partial class AttentionCanaryTests
{
    const int Tokens = 300;

    public static TheoryData<string> Cases => ["gqa", "mqa", "window", "real", "mla"];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Exchanged_heads_are_found(string name)
    {
        using CanaryCase sent = CanaryCase.Create(name, Tokens);
        KvSequence landed = sent.Land(KvCodecs.Raw);
        foreach (int layer in Layers(sent))
        {
            KvLayerView view = landed.View(layer);
            // One head: the next layer's rows instead.
            KvLayerView other = view.Group.KvHeads > 1 ? view : landed.View((layer + 1) % sent.Layout.LayerCount);
            for (int plane = 0; plane < view.Group.Planes; plane++)
            {
                for (int token = 0; token < Tokens; token++) Swap(view.Row(0, (KvPlane)plane, token), other.Row(view.Group.KvHeads > 1 ? 1 : 0, (KvPlane)plane, token));
            }

            if (view.Group.KvHeads == 1) break;
        }

        Found(sent, landed, CanaryPrecision.Coarse8);
    }

    [Theory]
    [InlineData("gqa")]
    [InlineData("mqa")]
    [InlineData("window")]
    [InlineData("real")]
    public void Exchanged_planes_are_found(string name)
    {
        using CanaryCase sent = CanaryCase.Create(name, Tokens);
        KvSequence landed = sent.Land(KvCodecs.Raw);
        Each(sent, landed, (view, head) =>
        {
            for (int token = 0; token < Tokens; token++) Swap(view.Row(head, KvPlane.Key, token), view.Row(head, KvPlane.Value, token));
        });
        Found(sent, landed, CanaryPrecision.Coarse8);
    }

    [Theory]
    [InlineData("gqa", 0)]
    [InlineData("gqa", 1)]
    [InlineData("gqa", 2)]
    [InlineData("window", 1)]
    [InlineData("real", 0)]
    [InlineData("real", 1)]
    [InlineData("real", 2)]
    public void Missing_and_wrong_scales_are_found(string name, int wrong)
    {
        using CanaryCase sent = CanaryCase.Create(name, Tokens);
        KvSequence landed = sent.Land(KvCodecs.Raw, g => g with { ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerTokenHead, ValueScaleKind = ScaleKind.PerTokenHead });
        Assert.True(AttentionCanary.Verify(landed, sent.Seeded(), CanaryPrecision.Fp8).HasPassed);
        Each(sent, landed, (view, head) =>
        {
            for (int block = 0; block < view.BlockCount; block++)
            {
                for (int plane = 0; plane < 2; plane++)
                {
                    Span<float> scales = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(view.Scales(block, head, (KvPlane)plane));
                    // Left at one, those of the other plane, those of the token before.
                    if (wrong == 0) scales.Fill(1);
                    else if (wrong == 2) scales[..^1].CopyTo(scales[1..]);
                }

                if (wrong == 1) Swap(view.Scales(block, head, KvPlane.Key), view.Scales(block, head, KvPlane.Value));
            }
        });
        Found(sent, landed, wrong == 2 ? CanaryPrecision.Exact : CanaryPrecision.Fp8);
    }

    [Theory]
    [InlineData("gqa")]
    [InlineData("mqa")]
    [InlineData("window")]
    [InlineData("real")]
    public void Keys_that_lost_their_values_are_found(string name)
    {
        using CanaryCase sent = CanaryCase.Create(name, Tokens);
        KvSequence landed = sent.Land(KvCodecs.Raw);
        Each(sent, landed, (view, head) =>
        {
            for (int token = 128; token < 160; token++) Swap(view.Row(head, KvPlane.Key, token), view.Row(head, KvPlane.Key, 319 - token));
        });
        Found(sent, landed, CanaryPrecision.Int8);
    }

    [Fact]
    public void The_order_of_whole_tokens_is_not_found_because_attention_does_not_depend_on_it()
    {
        using CanaryCase sent = CanaryCase.Create("mla", Tokens);
        KvSequence landed = sent.Land(KvCodecs.Raw);
        Each(sent, landed, (view, head) =>
        {
            for (int token = 128; token < 160; token++) Swap(view.Row(head, KvPlane.Key, token), view.Row(head, KvPlane.Key, 319 - token));
        });
        Assert.True(AttentionCanary.Verify(landed, sent.Seeded(), CanaryPrecision.Exact).HasPassed);
    }

    [Theory]
    [InlineData("gqa", 1, CanaryPrecision.Fp8)]
    [InlineData("mqa", 1, CanaryPrecision.Int8)]
    [InlineData("window", -1, CanaryPrecision.Fp8)]
    [InlineData("mla", 1, CanaryPrecision.Exact)]
    public void A_rotary_embedding_off_by_one_is_found(string name, int offset, CanaryPrecision precision)
    {
        // The smallest of the defects: for mqa within what FP8 is allowed, for mla (32 of 160 elements are rotated) within what any rounding is.
        using CanaryCase sent = CanaryCase.Create(name, Tokens), rotated = CanaryCase.Create(name, Tokens, offset);
        Found(sent, rotated.Land(KvCodecs.Raw), precision);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_block_in_the_place_of_another_is_found(string name)
    {
        using CanaryCase sent = CanaryCase.Create(name, Tokens);
        KvSequence landed = sent.Land(KvCodecs.Raw);
        Each(sent, landed, (view, head) =>
        {
            for (int plane = 0; plane < view.Group.Planes; plane++)
            {
                for (int token = 192; token < 256; token++) view.Row(head, (KvPlane)plane, token - 64).CopyTo(view.Row(head, (KvPlane)plane, token));
            }
        });
        Found(sent, landed, name == "mla" ? CanaryPrecision.Int8 : CanaryPrecision.Fp8);
    }

    [Fact]
    public void A_result_names_layer_head_error_and_tolerance()
    {
        using CanaryCase sent = CanaryCase.Create("gqa", Tokens);
        KvSequence landed = sent.Land(KvCodecs.Raw);
        KvLayerView view = landed.View(2);
        for (int token = 0; token < Tokens; token++) view.Row(3, KvPlane.Value, token).Clear();
        CanarySet set = AttentionCanary.CreateSeeded(sent.Sequence, Tokens, CanaryCase.Id, [(1, 3), (2, 2), (2, 3)])!;
        CanaryResult result = AttentionCanary.Verify(landed, set, CanaryPrecision.Exact);
        Assert.Equal((CanaryOutcome.Deviates, 3), (result.Outcome, result.Deviations.Length));
        Assert.Equal([true, true, false], result.Deviations.Select(d => d.IsWithin));
        Assert.Equal((2, 3, 1f, 1e-4f), (result.Deviations[2].Layer, result.Deviations[2].Head, result.Deviations[2].Error, result.Deviations[2].Tolerance));
        Assert.Contains("layer 2, head 3 differs by 1; allowed: 0.0001", result.Text);
        // A NaN is no small error.
        view.Row(2, KvPlane.Key, 7).Fill(0xFF);
        Assert.Equal(float.PositiveInfinity, AttentionCanary.Verify(landed, set, CanaryPrecision.Coarse8).Deviations[1].Error);
    }

    [Fact]
    public void Another_handoffs_queries_are_others()
    {
        using CanaryCase sent = CanaryCase.Create("gqa", Tokens);
        CanarySet set = sent.Seeded();
        var bytes = new byte[CanaryCodec.ByteCount(set)];
        CanaryCodec.Write(set, bytes);
        Assert.True(CanaryCodec.TryRead(bytes, Guid.NewGuid(), out CanarySet? other, out _));
        Assert.Equal(CanaryOutcome.Deviates, AttentionCanary.Verify(sent.Land(KvCodecs.Raw), other!, CanaryPrecision.Coarse8).Outcome);
    }

    [Fact]
    public void A_sink_takes_its_weight()
    {
        using CanaryCase sent = CanaryCase.Create("gqa", Tokens);
        CanarySet engine = sent.Engine(4);
        CanaryStates states = AttentionCanary.Attend(sent.Sequence, Tokens, engine);
        CanarySet sinks = engine with
        {
            Pairs = [.. engine.Pairs.Select((p, i) => p with
            {
                Sink = states.LogSumExpOf(i) + i - 1,
                Output = p.Output.ToArray().Select(x => (float)(x / (1 + Math.Exp(i - 1)))).ToArray(),
            })],
        };
        KvSequence landed = sent.Land(KvCodecs.Raw);
        Assert.True(AttentionCanary.Verify(landed, sinks, CanaryPrecision.Exact).HasPassed);
        Assert.Equal(CanaryOutcome.Deviates, AttentionCanary.Verify(landed, sinks with { Pairs = engine.Pairs.Replace(engine.Pairs[1], engine.Pairs[1] with { Sink = 0 + states.LogSumExpOf(1) }) }, CanaryPrecision.Exact).Outcome);
    }

    [Fact]
    public void Many_queries_of_one_head_are_taken_in_rounds()
    {
        using CanaryCase sent = CanaryCase.Create("mqa", Tokens);
        CanarySet one = sent.Engine(2);
        CanarySet many = one with { QueryHeads = 256, Pairs = [.. Enumerable.Range(0, 256).Select(i => one.Pairs[i % 2] with { Head = i })] };
        CanaryResult result = AttentionCanary.Verify(sent.Land(KvCodecs.Raw), many, CanaryPrecision.Exact);
        Assert.True(result.HasPassed, result.Text);
        Assert.Equal(256, result.Deviations.Length);
    }

    [Fact]
    public void Samples_are_spread_over_layers_and_heads()
    {
        KvCacheLayout layout = KvCacheLayout.Uniform(new ModelIdentity("m", "1", 0), 10, 4, 8);
        Assert.Equal([(0, 0), (3, 1), (6, 2), (9, 3)], AttentionCanary.Sample(layout, 4).ToArray());
        Assert.Equal(40, AttentionCanary.Sample(layout, 256).Length);
        Assert.Single(AttentionCanary.Sample(layout, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => AttentionCanary.Sample(layout, 257));
    }

    static int[] Layers(CanaryCase sent) => [.. Enumerable.Range(0, sent.Layout.LayerCount)];

    static void Found(CanaryCase sent, KvSequence landed, CanaryPrecision precision)
    {
        foreach (CanarySet set in (CanarySet[])[sent.Seeded(), sent.Engine()])
        {
            // Without the defect it passes.
            Assert.True(AttentionCanary.Verify(sent.Sequence, set, CanaryPrecision.Exact).HasPassed);
            CanaryResult result = AttentionCanary.Verify(landed, set, precision);
            Assert.True(result.Outcome == CanaryOutcome.Deviates, $"{(set.IsSeeded ? "Seeded" : "Engine's")} pairs: {result.Outcome} {result.Text}, largest error {result.LargestError:g3}.");
        }
    }

    delegate void Defect(KvLayerView view, int head);

    static void Each(CanaryCase sent, KvSequence landed, Defect defect)
    {
        foreach (int layer in Layers(sent))
        {
            KvLayerView view = landed.View(layer);
            for (int head = 0; head < view.Group.KvHeads; head++) defect(view, head);
        }
    }

    static void Swap(Span<byte> a, Span<byte> b)
    {
        byte[] held = a.ToArray();
        b.CopyTo(a);
        held.CopyTo(b);
    }

    static KvSequence Shard(CanaryCase sent, KvShard shard)
    {
        KvCacheLayout model = sent.Layout;
        var groups = ImmutableArray.CreateBuilder<LayerGroup>();
        for (int g = 0; g < model.Groups.Length; g++)
        {
            ImmutableArray<int> layers = [.. model.Groups[g].Layers.Where(l => l >= shard.Layers.Start && l < shard.Layers.End).Select(l => l - shard.Layers.Start)];
            if (layers.Length > 0) groups.Add(model.Groups[g] with { Layers = layers, KvHeads = shard.HeadsOf(model, g).Count });
        }

        KvSequence part = sent.Empty(new KvCacheLayout(model.Model, groups.ToImmutable()));
        for (int layer = 0; layer < part.Cache.Layout.LayerCount; layer++)
        {
            LayerGroup group = part.Cache.Layout.Group(layer);
            int whole = layer + shard.Layers.Start, first = shard.HeadsOf(model, model.GroupOf(whole)).Start;
            for (int head = 0; head < group.KvHeads; head++)
            {
                for (int plane = 0; plane < group.Planes; plane++)
                {
                    byte[] rows = new byte[shard.Tokens.Count * group.RowBytes];
                    var runs = new RowRuns(rows.AsSpan(), group.RowBytes);
                    StoredRows.Unpack(sent.Sequence.View(whole), first + head, (KvPlane)plane, shard.Tokens.Start, runs, ElementType.BFloat16);
                    StoredRows.Store(part.View(layer, shard.Tokens.Count), head, (KvPlane)plane, 0, runs, ElementType.BFloat16);
                }
            }
        }

        part.Advance(shard.Tokens.Count);
        return part;
    }
}
