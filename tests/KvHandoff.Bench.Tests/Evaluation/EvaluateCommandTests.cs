using System.CommandLine;
using KvHandoff.Bench.Commands;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Tests.Commands;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>The command from its arguments to its exit code, as a process against a scripted server.</summary>
public sealed class EvaluateCommandTests
{
    private const string Secret = "csk-very-secret-1234567890";
    private static readonly Dictionary<string, string> NoEnvironment = [];

    [Fact]
    public async Task TheKeyIsSentAndIsInNoFileAndNoOutput()
    {
        using var scratch = new Scratch();
        // A server that says the key back, as error texts do.
        await using var server = new ScriptedServer(r => r.Number % 4 == 0 ? Reply.Json(401, $$"""{"message":"Incorrect API key provided: {{r.Headers["authorization"]}}","code":"{{Secret}}"}""") : Reply.Tokens(3, 1));
        (int code, string output, string errors) = await BenchProcess.RunAsync(scratch.FullName, new Dictionary<string, string> { ["CEREBRAS_API_KEY"] = Secret }, "evaluate", "--endpoint", server.Address, "--iterations", "2", "--concurrency", "1,2", "--output", "out", "--json", "copy.json");
        Assert.True(code == 0, output + errors);
        Assert.All(server.Posts, p => Assert.Equal($"Bearer {Secret}", p.Headers["authorization"]));
        Assert.Contains("What the client saw", output);
        Assert.Contains("401", output);
        Assert.DoesNotContain(Secret, output + errors);
        string[] files = Directory.GetFiles(scratch.FullName, "*", SearchOption.AllDirectories);
        Assert.Equal(["copy.json", "profile_export.jsonl", "records.jsonl", "report.md", "summary.csv", "summary.json", "vllm_concurrency_1.json", "vllm_concurrency_2.json"], files.Select(f => Path.GetFileName(f)!).Where(f => Path.GetExtension(f) is not (".svg" or ".html")).Order(StringComparer.Ordinal));
        foreach (string file in files) Assert.DoesNotContain(Secret, await File.ReadAllTextAsync(file));
        EvaluationSummary summary = EvaluationSummary.FromJson(await File.ReadAllTextAsync(scratch.File("copy.json")));
        Assert.Equal(("CEREBRAS_API_KEY", "scripted-model", "listed"), (summary.Config.ApiKeyVariable, summary.Config.Model, summary.Config.ModelSource));
        Assert.Contains(summary.Loads.SelectMany(l => l.Errors), e => e.Messages.Any(m => m.Contains("Bearer ***", StringComparison.Ordinal)));
        Assert.StartsWith("evaluate --endpoint", summary.Run.CommandLine);
    }

    [Fact]
    public async Task AKeyInDotEnvIsFoundAndObjectivesMissedAreExitCodeOne()
    {
        using var scratch = new Scratch();
        await File.WriteAllTextAsync(scratch.File(".env"), $"CEREBRAS_API_KEY={Secret}\n");
        await using var server = new ScriptedServer(_ => Reply.Tokens(3, 5));
        (int code, string output, string errors) = await BenchProcess.RunAsync(scratch.FullName, NoEnvironment, "evaluate", "--endpoint", server.Address + "/v1", "--model", "m", "--iterations", "1", "--warm-up", "0", "--prompts", "short_input_short_output", "--slo", "ttft:1us", "--slo-share", "0.9", "--output", "out", "--quiet");
        Assert.Equal((1, ""), (code, output));
        Assert.Contains("0.0 % of requests met the objectives; wanted: 90.0 %", errors.Replace("%", " %", StringComparison.Ordinal).Replace("  ", " ", StringComparison.Ordinal));
        Assert.Equal($"Bearer {Secret}", Assert.Single(server.Posts).Headers["authorization"]);
        foreach (string file in Directory.GetFiles(scratch.File("out"), "*", SearchOption.AllDirectories)) Assert.DoesNotContain(Secret, await File.ReadAllTextAsync(file));
    }

    [Fact]
    public async Task AnInterruptWritesWhatThereIs()
    {
        using var scratch = new Scratch();
        using var reached = new SemaphoreSlim(0);
        await using var server = new ScriptedServer(r =>
        {
            if (r.Number == 6) reached.Release();
            return r.Number >= 6 ? Reply.Events().Role().Pause(60_000).Done() : Reply.Tokens(2);
        });
        using BenchProcess process = BenchProcess.Start(scratch.FullName, NoEnvironment, "evaluate", "--endpoint", server.Address, "--model", "m", "--warm-up", "0", "--output", "out");
        if (!await reached.WaitAsync(TimeSpan.FromSeconds(30))) Assert.Fail($"The sixth request never came: {await process.EndAsync()}");
        process.Interrupt();
        (int code, string output, string errors) = await process.EndAsync();
        Assert.True(code == 130, output + errors);
        Assert.Contains("what had ended by then was written", errors);
        EvaluationSummary summary = EvaluationSummary.FromJson(await File.ReadAllTextAsync(scratch.File("out/summary.json")));
        Assert.True(summary.Run.WasCancelled);
        Assert.Equal((5, 1), (summary.Loads[0].Ok, summary.Loads[0].Cancelled));
        Assert.Equal(6, File.ReadAllLines(scratch.File("out/records.jsonl")).Length);
    }

    [Fact]
    public async Task AGeneratedTraceIsReplayed()
    {
        using var scratch = new Scratch();
        (int code, string _, string errors) = await BenchProcess.RunAsync(scratch.FullName, NoEnvironment, "evaluate", "generate-trace", "--file", "small.jsonl", "--requests", "8", "--rate", "20", "--input", "64", "--output-tokens", "4");
        Assert.True(code == 0, errors);
        await using var server = new ScriptedServer(_ => Reply.Tokens(2));
        (code, string output, errors) = await BenchProcess.RunAsync(scratch.FullName, NoEnvironment, "evaluate", "--endpoint", server.Address, "--trace", "small.jsonl", "--max-requests", "6", "--bytes-per-token", "1", "--max-input", "50", "--output", "out");
        Assert.True(code == 0, output + errors);
        EvaluationSummary summary = EvaluationSummary.FromJson(await File.ReadAllTextAsync(scratch.File("out/summary.json")));
        Assert.Equal((6, "trace small.jsonl"), (summary.Loads[0].Ok, summary.Loads[0].Name));
    }

    [Fact]
    public async Task AnOutputThatCannotBeWrittenIsSaidInOneLine()
    {
        using var scratch = new Scratch();
        await File.WriteAllTextAsync(scratch.File("taken"), "");
        (int code, string _, string errors) = await BenchProcess.RunAsync(scratch.FullName, NoEnvironment, "evaluate", "--model", "m", "--output", "taken/out");
        Assert.Equal(2, code);
        Assert.Contains("taken", errors);
        Assert.Single(errors.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task AServerThatIsNotThereIsSaidInOneLine()
    {
        using var scratch = new Scratch();
        string address;
        await using (var gone = new ScriptedServer(_ => Reply.Tokens(1))) address = gone.Address;
        (int code, string _, string errors) = await BenchProcess.RunAsync(scratch.FullName, NoEnvironment, "evaluate", "--endpoint", address, "--output", "out");
        Assert.Equal(2, code);
        Assert.Contains("Is the server running?", errors);
        Assert.Single(errors.TrimEnd().Split('\n'));
    }

    [Theory]
    [InlineData("--concurrency 2 --rate 1", "--rate")]
    [InlineData("--rate 1 --trace x", "--trace")]
    [InlineData("--trace-speed 2", "--trace-speed")]
    [InlineData("--max-requests 5", "--max-requests")]
    [InlineData("--trace x --iterations 5", "--iterations")]
    [InlineData("--trace x --fresh-prompts", "--fresh-prompts")]
    [InlineData("--seed-compat --fresh-prompts", "--fresh-prompts")]
    [InlineData("--slo-share 0.9", "--slo-share")]
    [InlineData("--seed-compat --rate 2", "--rate")]
    [InlineData("--seed-compat --temperature 0", "--temperature")]
    [InlineData("--seed-compat --disaggregated-baseline", "--disaggregated-baseline")]
    [InlineData("--disaggregated-baseline --temperature 0.5", "--temperature")]
    [InlineData("--iterations 0", "--iterations")]
    [InlineData("--prompts short-short", "--prompts")]
    [InlineData("--prompt-set mine", "--prompt-set")]
    [InlineData("--limit-field tokens", "--limit-field")]
    [InlineData("--unheard-of", "--unheard-of")]
    public void WhatDoesNotGoTogetherIsRefusedByName(string arguments, string name)
    {
        ParseResult parsed = new RootCommand("test") { EvaluateCommand.Create() }.Parse("evaluate " + arguments);
        Assert.NotEmpty(parsed.Errors);
        Assert.Contains(name, ArgumentRules.Explain(parsed));
        Assert.Contains("allowed", ArgumentRules.Explain(parsed));
    }

    [Theory]
    [InlineData("0", null)]
    [InlineData("1,1", null)]
    [InlineData("5000", null)]
    [InlineData("two", null)]
    [InlineData(null, "0")]
    [InlineData(null, "1,x")]
    public void WrongLoadsAreRefused(string? concurrency, string? rate) => Assert.Contains("allowed", Assert.Throws<InvalidDataException>(() => EvaluateCommandRules.Loads(concurrency, rate, null, null, 10, null, 4096)).Message);

    [Fact]
    public void LoadsAndTimesAreRead()
    {
        Assert.Equal(["concurrency 1", "concurrency 4"], EvaluateCommandRules.Loads("1,4", null, null, null, 10, null, 4096).Select(l => l.Name));
        Assert.Equal([0.5, 2], EvaluateCommandRules.Loads(null, "0.5,2", null, null, 10, null, 4096).Select(l => l.RatePerSecond!.Value));
        Assert.Equal(TimeSpan.FromSeconds(90), EvaluateCommandRules.Time("--timeout", "1m30s", 1));
        Assert.Throws<InvalidDataException>(() => EvaluateCommandRules.Time("--timeout", "25h", 1));
        Assert.Equal((0.0, null, 0.7), (EvaluateCommandRules.Temperature(null), EvaluateCommandRules.Temperature("none"), EvaluateCommandRules.Temperature("0.7")));
    }

    [Fact]
    public void TheFixedTextsAreWhatTheyWere()
    {
        foreach (string set in EvaluationPrompts.Sets) Assert.Equal(EvaluationPrompts.Types, EvaluationPrompts.Load(set).Select(p => p.Type));
        Assert.Equal("23aa771ca847de8944cc7d1ef6f06b50d64d62d3cbe0b8bbb041e48898cb4344", EvaluationPrompts.Load("reference")[0].Sha256);
        Assert.Equal([128, 1225, 128, 1780], EvaluationPrompts.Load("reference").Select(p => p.CompletionTokens));
        Assert.All(EvaluationPrompts.Load("chat").Skip(2), p => Assert.InRange(p.Text.Length, 13_000, 13_300));
    }
}
