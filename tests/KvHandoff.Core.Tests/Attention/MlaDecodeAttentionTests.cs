using KvHandoff.Attention;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

public sealed class MlaDecodeAttentionTests
{
    public static TheoryData<string> Forms => ["bf16", "fp32", "fp16", "fp8", "fp8-tensor", "int8", "int8-channel", "int8-head", "mxfp8", "bf16-transposed", "int8-packed"];

    [Theory]
    [MemberData(nameof(Forms))]
    public void Agrees_with_double_precision(string form)
    {
        foreach ((int heads, int queryTokens, int rowDim, int latentDim, int tokens) in ((int, int, int, int, int)[])
            [(16, 1, 576, 512, 200), (16, 3, 576, 512, 65), (128, 1, 576, 512, 70), (5, 2, 32, 24, 600), (1, 17, 32, 24, 130), (16, 2, 48, 48, 64), (3, 1, 48, 1, 50), (16, 1, 32, 20, 0)])
        {
            using var stored = new StoredCase(Group(form, rowDim), tokens, seed: rowDim + tokens);
            float[] query = stored.Query(heads, queryTokens);
            // DeepSeek's scale: of the 128 + 64 elements before absorption.
            foreach (AttentionOptions options in (AttentionOptions[])[new(SoftmaxScale: 0.0721688f), new(SoftmaxScale: 0.1f, WindowTokens: 60, StartToken: Math.Min(3, tokens)) { LogitCap = 10, Weights = SoftmaxWeights.BFloat16 }])
            {
                ReferenceAttention expected = ReferenceAttention.Attend(stored, query, heads, options, latentDim);
                foreach (KernelTarget target in KernelChoices.All)
                {
                    (float[] output, float[] logSumExp) = stored.Run(target, heads, query, options, latentDim);
                    expected.Check(output, logSumExp, $"{KernelChoices.Name(target)}: {queryTokens} x {heads}, {latentDim} of {rowDim}, {tokens} tokens, {options}");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void A_batch_gives_the_bits_of_each_sequence_alone(string form)
    {
        const int heads = 16, latentDim = 24;
        (int Tokens, int QueryTokens)[] shapes = [(700, 1), (0, 1), (64, 3), (1, 1), (129, 16)];
        StoredCase[] sequences = [.. shapes.Select((shape, i) => new StoredCase(Group(form, 32), shape.Tokens, seed: i + 1))];
        float[][] queries = [.. shapes.Select((shape, i) => sequences[i].Query(heads, shape.QueryTokens, i))];
        var options = new AttentionOptions(SoftmaxScale: 0.2f);
        foreach (KernelTarget target in KernelChoices.All)
        {
            (float[] Output, float[] LogSumExp)[] alone = [.. sequences.Select((s, i) => s.Run(target, heads, queries[i], options, latentDim))];
            foreach (int? threads in (int?[])[null, 1, 3])
            {
                var batch = new DecodeAttentionBatch();
                for (int i = 0; i < shapes.Length; i++) batch.Add(sequences[i].Sequence, shapes[i].Tokens, shapes[i].QueryTokens);
                float[] query = [.. queries.SelectMany(q => q)], output = new float[batch.QueryTokens * heads * latentDim], logSumExp = new float[batch.QueryTokens * heads];
                batch.Run(target, StoredCase.Layer, heads, latentDim, query, options, output, logSumExp, threads is { } count ? new AttentionThreads(count) : null);
                AttentionBits.Same([.. alone.SelectMany(a => a.Output)], output, $"{KernelChoices.Name(target)} on {threads} threads");
                AttentionBits.Same([.. alone.SelectMany(a => a.LogSumExp)], logSumExp, $"{KernelChoices.Name(target)} on {threads} threads");
            }
        }

        foreach (StoredCase sequence in sequences) sequence.Dispose();
    }

    [Fact]
    public void What_does_not_fit_is_refused_with_both_values()
    {
        using StoredCase latent = new(Group("bf16", 32), 10), full = new(StoredForms.Plain(ElementType.BFloat16), 10);
        Refused(latent, 2, 33, 64, 66, 2, new(SoftmaxScale: 1), "33", "32");
        Refused(latent, 2, 0, 64, 0, 2, new(SoftmaxScale: 1), "0", "32");
        Refused(latent, 2, 24, 64, 48, 2, default, "softmax scale is 0", "given");
        Refused(latent, 2, 24, 64, 47, 2, new(SoftmaxScale: 1), "47", "48");
        Refused(latent, 2, 24, 65, 48, 2, new(SoftmaxScale: 1), "65", "64");
        Refused(latent, 2, 24, 64, 48, 3, new(SoftmaxScale: 1), "3", "2 query heads");
        Refused(latent, 0, 24, 64, 48, 2, new(SoftmaxScale: 1), "0 query heads", "1 kv heads");
        Refused(latent, 2, 24, 64, 48, 2, new(SoftmaxScale: float.PositiveInfinity), "∞", "finite");
        Refused(full, 2, 24, 128, 48, 2, new(SoftmaxScale: 1), "Full", "Latent");

        static void Refused(StoredCase stored, int heads, int latentDim, int query, int output, int logSumExp, AttentionOptions options, params string[] named)
        {
            string message = Assert.Throws<ArgumentException>(() =>
                MlaDecodeAttention.Run(stored.View, heads, latentDim, new float[query], options, new float[output], new float[logSumExp])).Message;
            Assert.All(named, name => Assert.Contains(name == "∞" ? float.PositiveInfinity.ToString() : name, message, StringComparison.Ordinal));
        }
    }

    static LayerGroup Group(string form, int rowDim)
    {
        LayerGroup plain = StoredForms.Plain(ElementType.BFloat16, kvHeads: 1, dim: rowDim) with { Kind = AttentionKind.Latent };
        return form switch
        {
            "bf16" => plain,
            "fp32" => plain with { ElementType = ElementType.Float32, BlockTokens = 48 },
            "fp16" => plain with { ElementType = ElementType.Float16, BlockTokens = 16, Order = DimensionOrder.TokenMajor },
            "fp8" => plain with { ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerTokenHead },
            "fp8-tensor" => plain with { ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerTensor },
            "int8" => plain with { ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerTokenHead },
            "int8-channel" => plain with { ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerChannelTile, ScaleType = ScaleType.BFloat16, BlockTokens = 128 },
            "int8-head" => plain with { ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerHead, Order = DimensionOrder.PlaneHeadMajor },
            "mxfp8" => plain with { ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerGroup32, ScaleType = ScaleType.E8M0 },
            "bf16-transposed" => plain with { Order = DimensionOrder.TransposedKey },
            "int8-packed" => plain with { ElementType = ElementType.Int8, KeyScaleKind = ScaleKind.PerTokenHead, Order = DimensionOrder.PackedKey },
            _ => throw new ArgumentException(form),
        };
    }
}
