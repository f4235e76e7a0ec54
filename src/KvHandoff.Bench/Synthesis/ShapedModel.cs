using KvHandoff.Layout;

namespace KvHandoff.Bench.Synthesis;

/// <summary>A published model whose cache shape is handed over with synthesised content.</summary>
internal sealed record ShapedModel(string Name, KvCacheLayout Layout)
{
    /// <summary>The shape the main job hands over.</summary>
    internal const string Default = "llama-3.3-70b";

    /// <summary>The models that can be named on the command line.</summary>
    internal static IReadOnlyList<ShapedModel> All { get; } =
    [
        Uniform(Default, layers: 80, kvHeads: 8, headDim: 128, ropeTheta: 500_000),
        Uniform("llama-3.1-8b", layers: 32, kvHeads: 8, headDim: 128, ropeTheta: 500_000),
        Uniform("llama-3.1-405b", layers: 126, kvHeads: 8, headDim: 128, ropeTheta: 500_000),
        Uniform("qwen3-8b", layers: 36, kvHeads: 8, headDim: 128, ropeTheta: 1_000_000),
        Uniform("qwen3-235b-a22b", layers: 94, kvHeads: 4, headDim: 128, ropeTheta: 1_000_000),
        new("deepseek-v3", KvCacheLayout.Latent(Identity("deepseek-v3", 10_000), layers: 61, latentDim: 512, ropeDim: 64)),
    ];

    /// <summary>The model of that name.</summary>
    internal static ShapedModel Find(string name) =>
        All.FirstOrDefault(m => m.Name == name) ?? throw new ArgumentException($"Model '{name}' is not one of {string.Join(", ", All.Select(m => m.Name))}.", nameof(name));

    private static ShapedModel Uniform(string name, int layers, int kvHeads, int headDim, double ropeTheta) =>
        new(name, KvCacheLayout.Uniform(Identity(name, ropeTheta), layers, kvHeads, headDim));

    private static ModelIdentity Identity(string name, double ropeTheta) => new(name, "synthesised", ropeTheta);
}
