using System.Text.Json;
using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

/// <summary>The shipped model against logits and continuations that PyTorch computed in double precision from the same weights.</summary>
public class GoldenLogitsTests
{
    // fp32 arithmetic against fp64: products of depth 640 at most, logits below 32; measured 1e-5.
    private const float Float32Tolerance = 1e-3f;

    // BF16 rows carry 8 bits: a relative error of 2^-9 per element, averaged by the softmax, on logits below 32; measured 0.03.
    private const float BFloat16Tolerance = 0.25f;

    [Theory]
    [InlineData(ElementType.Float32, Float32Tolerance)]
    [InlineData(ElementType.BFloat16, BFloat16Tolerance)]
    public void Logits_and_continuations_are_those_of_the_reference(ElementType type, float tolerance)
    {
        using LlamaModel model = LlamaModel.Load(RepositoryPaths.ReferenceModel);
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(RepositoryPaths.GoldenLogits));
        using PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(type), 8192);
        var runner = new LlamaRunner(model, 2);
        int cases = 0;
        foreach (JsonElement item in golden.RootElement.GetProperty("cases").EnumerateArray())
        {
            int[] prompt = Numbers(item, "prompt_ids", e => e.GetInt32()), greedy = Numbers(item, "greedy_ids", e => e.GetInt32());
            float[] expected = Numbers(item, "last_logits", e => e.GetSingle());
            Assert.Equal(ByteTokenizer.Encode(item.GetProperty("prompt").GetString()!), prompt);

            using KvSequence prefilled = cache.CreateSequence(), decoded = cache.CreateSequence();
            float[] logits = runner.Prefill(prefilled, prompt).ToArray();
            runner.Prefill(decoded, prompt.AsSpan(0, prompt.Length - 1));
            Near(expected, logits, tolerance);
            Near(expected, runner.Decode(decoded, prompt[^1]), tolerance);
            foreach (int token in greedy)
            {
                // Within the tolerance of the best; with fp32 rows, where every gap is wider, the best itself.
                Assert.InRange(logits.Max() - logits[token], 0, 2 * tolerance);
                if (type == ElementType.Float32 && item.GetProperty("smallest_top2_gap").GetSingle() > 2 * tolerance) Assert.Equal(token, GreedySampler.Sample(logits));
                logits = runner.Decode(prefilled, token).ToArray();
            }

            cases++;
        }

        Assert.InRange(cases, 3, 100);
    }

    private static void Near(float[] expected, ReadOnlySpan<float> actual, float tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.InRange(actual[i], expected[i] - tolerance, expected[i] + tolerance);
    }

    private static T[] Numbers<T>(JsonElement item, string name, Func<JsonElement, T> read) => [.. item.GetProperty(name).EnumerateArray().Select(read)];
}
