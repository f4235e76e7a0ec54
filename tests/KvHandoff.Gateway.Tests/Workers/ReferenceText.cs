using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Tests.Workers;

/// <summary>The shipped model, its prompts, and the texts that one runner in one process gives: what every route has to give.</summary>
public sealed class ReferenceText : IDisposable
{
    private readonly LlamaRunner _runner;
    private readonly PagedKvCache _cache;
    private readonly TokenSampler _sampler = new();
    private readonly Dictionary<(string Prompt, SamplingOptions Sampling), List<int>> _known = [];

    public ReferenceText()
    {
        Model = LlamaModel.Load(Path.Combine(AppContext.BaseDirectory, "models", "llama-bytes-5m"));
        _runner = new LlamaRunner(Model, 1);
        _cache = PagedKvCache.Allocate(Model.CreateLayout(), 8192);
    }

    internal LlamaModel Model { get; }

    internal static IReadOnlyList<string> PromptNames { get; } = ["short-short", "short-long", "long-short", "long-long"];

    internal static int[] Prompt(string name)
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "KvHandoff.sln"))) at = at.Parent;
        return ByteTokenizer.Encode(File.ReadAllBytes(Path.Combine(at!.FullName, "models", "prompts", name + ".txt")));
    }

    /// <summary>A part of the held-out text: prompts of any number and length.</summary>
    internal static int[] Passage(int start, int tokens) => Prompt("held-out").AsSpan(start, tokens).ToArray();

    /// <summary>Prompt in one piece, then token by token, alone.</summary>
    internal int[] Complete(int[] prompt, int tokens, SamplingOptions? sampling = null)
    {
        sampling ??= new SamplingOptions();
        lock (_runner)
        {
            // A longer completion begins with the shorter one.
            var key = (string.Join(',', prompt), sampling);
            if (_known.TryGetValue(key, out List<int>? known) && known.Count >= tokens) return [.. known[..tokens]];
            using KvSequence sequence = _cache.CreateSequence();
            var completion = new List<int> { Choose(_runner.Prefill(sequence, prompt), 0) };
            while (completion.Count < tokens) completion.Add(Choose(_runner.Decode(sequence, completion[^1]), completion.Count));
            _known[key] = completion;
            return [.. completion];
        }

        int Choose(ReadOnlySpan<float> logits, int index) => _sampler.Sample(logits, sampling.Temperature, sampling.TopP, sampling.Seed, index);
    }

    public void Dispose()
    {
        _cache.Dispose();
        Model.Dispose();
    }
}

/// <summary>One model for all tests of workers, which run one after another: their threads would only wait for each other.</summary>
[CollectionDefinition(Name)]
public sealed class WorkerTests : ICollectionFixture<ReferenceText>
{
    public const string Name = "workers";
}
