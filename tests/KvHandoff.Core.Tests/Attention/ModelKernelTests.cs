using System.Diagnostics;
using KvHandoff.Attention;
using KvHandoff.Core.Tests.Model;
using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>The shipped model says the same with every kernel. Kernels are chosen once a process, so each choice has one of its own.</summary>
public sealed class ModelKernelTests
{
    const string FileVariable = "KVHANDOFF_TEST_TOKENS_FILE";

    const int Tokens = 40, PatienceSeconds = 120;

    // Kernels differ by some 1e-5 of a logit; INT8 ones, which round to 15 bits, by some 1e-4. A choice between closer tokens would show nothing.
    const float LeastGap = 2e-3f;

    const string Prompt = "The prefill worker reads the whole prompt at once and writes the keys and values of every token into its cache. The decode worker ";

    /// <summary>Generates with the kernels of this process; the child processes of the other test run this one and have it write a file.</summary>
    [Fact]
    public void Forty_tokens_are_clear_choices()
    {
        string said = string.Join(';', Generate(ElementType.BFloat16, ScaleKind.None), Generate(ElementType.Fp8E4M3, ScaleKind.PerTokenHead), Generate(ElementType.Int8, ScaleKind.PerTokenHead));
        if (Environment.GetEnvironmentVariable(FileVariable) is { Length: > 0 } file) File.WriteAllText(file, $"{AttentionKernels.InUse}\n{said}");
    }

    [Fact]
    public void Each_kernel_gives_the_same_forty_tokens()
    {
        if (Environment.GetEnvironmentVariable(FileVariable) is { Length: > 0 }) return;
        (string kernels, string expected) = Child("managed");
        Assert.Equal($"managed {InstructionSet.Name}", kernels);
        Assert.Equal(3 * Tokens, expected.Split(',', ';').Length);
        foreach ((string name, _) in AttentionKernels.NativeTargets.Where(target => target.Supported))
        {
            (kernels, string actual) = Child(name);
            Assert.Equal($"native {name}", kernels);
            Assert.Equal(expected, actual);
        }
    }

    static (string Kernels, string Tokens) Child(string kernels)
    {
        string file = Path.GetTempFileName();
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            ArgumentList = { "vstest", typeof(ModelKernelTests).Assembly.Location, $"--TestCaseFilter:FullyQualifiedName={typeof(ModelKernelTests).FullName}.{nameof(Forty_tokens_are_clear_choices)}" },
            Environment = { [FileVariable] = file, ["KVHANDOFF_KERNELS"] = kernels },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + errors.Result;
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(PatienceSeconds)));
        Assert.True(process.ExitCode == 0, output);
        string[] lines = File.ReadAllLines(file);
        File.Delete(file);
        Assert.Equal(2, lines.Length);
        return (lines[0], lines[1]);
    }

    static string Generate(ElementType type, ScaleKind scales)
    {
        using LlamaModel model = LlamaModel.Load(RepositoryPaths.ReferenceModel);
        LayerGroup group = model.CreateLayout(type == ElementType.Int8 ? ElementType.BFloat16 : type).Groups[0] with { ElementType = type, KeyScaleKind = scales, ValueScaleKind = scales };
        using PagedKvCache cache = PagedKvCache.Allocate(new KvCacheLayout(model.Identity, [group]), 1024);
        using KvSequence sequence = cache.CreateSequence();
        var runner = new LlamaRunner(model, 2);
        float[] logits = runner.Prefill(sequence, ByteTokenizer.Encode(Prompt)).ToArray();
        var tokens = new int[Tokens];
        for (int i = 0; i < Tokens; i++)
        {
            float[] best = [.. logits.OrderDescending().Take(2)];
            Assert.True(best[0] - best[1] > LeastGap, $"{type}, token {i}: the two best logits are {best[0]} and {best[1]}; another prompt is needed");
            tokens[i] = GreedySampler.Sample(logits);
            logits = runner.Decode(sequence, tokens[i]).ToArray();
        }

        return string.Join(',', tokens);
    }
}
