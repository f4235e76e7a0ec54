using System.Text.Json;
using System.Text.Json.Nodes;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Files;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Tests.Commands;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>The original study's files, key by key, its definitions by hand, and its published figures through our reader.</summary>
public sealed class SeedCompatTests
{
    private static readonly string[] Server = ["prompt_time", "completion_time", "queue_time", "total_server_time", "server_throughput"], Client = ["time_to_first_token", "total_time_per_request", "output_speed"];

    [Fact]
    public async Task TheFilesHaveTheNamesAndKeysOfTheStudy()
    {
        using var scratch = new Scratch();
        await using var server = new ScriptedServer(_ => Reply.Tokens(5, 3));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(2)) with { SeedCompat = true, Temperature = null, IncludeUsage = false, Model = "org/some-model" });
        await EvaluationFiles.WriteAsync(summary, scratch.FullName, null);
        string timestamp = DateTimeOffset.Parse(summary.Run.StartedAt).ToString("yyyyMMdd_HHmmss");
        JsonObject results = JsonNode.Parse(await File.ReadAllTextAsync(scratch.File($"benchmark_results_org_some-model_concurrency_2_iterations_3_{timestamp}.json")))!.AsObject();
        Assert.Equal(["timestamp", "concurrency", "model", "num_iterations", "results", "comparison"], Keys(results));
        Assert.Equal((timestamp, 2, "org/some-model", 3), ((string)results["timestamp"]!, (int)results["concurrency"]!, (string)results["model"]!, (int)results["num_iterations"]!));
        Assert.Equal(EvaluationPrompts.Types, results["results"]!.AsArray().Select(r => (string)r!["prompt"]!));
        Assert.All(results["results"]!.AsArray(), r =>
        {
            Assert.Equal(["prompt", "server_metrics", "client_metrics", "token_usage"], Keys(r!));
            Assert.Equal(Server.SelectMany(k => new[] { k, k + "_std" }), Keys(r!["server_metrics"]!));
            Assert.Equal(Client.SelectMany(k => new[] { k, k + "_std" }), Keys(r["client_metrics"]!));
            Assert.Equal(["prompt_tokens", "completion_tokens", "total_tokens"], Keys(r["token_usage"]!));
        });
        Assert.Equal(EvaluationPrompts.Types, Keys(results["comparison"]!));
        Assert.All(results["comparison"]!.AsObject(), c =>
        {
            Assert.Equal(["server_vs_client_latency", "server_vs_client_throughput"], Keys(c.Value!));
            Assert.Equal(["server_time", "client_time", "network_overhead", "overhead_percentage"], Keys(c.Value!["server_vs_client_latency"]!));
            Assert.Equal(["server_throughput", "client_throughput", "difference", "difference_percentage"], Keys(c.Value["server_vs_client_throughput"]!));
        });
        // Values follow from the records by the study's definitions: chunks, not intervals, and the first event of any kind.
        RequestRecord[] records = [.. summary.Requests.Where(r => r.PromptType == "long_input_short_output")];
        JsonNode of = results["results"]![2]!;
        Assert.Equal(records.Average(r => r.FirstChunkAt!.Value - r.SentAt!.Value), (double)of["client_metrics"]!["time_to_first_token"]!, 1e-9);
        Assert.Equal(records.Average(r => 5 / (r.LastContentAt!.Value - r.FirstContentAt!.Value)), (double)of["client_metrics"]!["output_speed"]!, 1e-6);
        Assert.Equal(0.025, (double)of["server_metrics"]!["total_server_time"]!, 1e-12);
        Assert.Equal(0, (double)of["server_metrics"]!["total_server_time_std"]!, 1e-12);
        Assert.Equal(5 / 0.02, (double)of["server_metrics"]!["server_throughput"]!, 1e-9);

        JsonArray prompts = JsonNode.Parse(await File.ReadAllTextAsync(scratch.File($"benchmark_prompts_org_some-model_{timestamp}.json")))!.AsArray();
        Assert.Equal(EvaluationPrompts.Types, prompts.Select(p => (string)p!["name"]!));
        Assert.All(prompts, p => Assert.Equal("user", (string)p!["messages"]![0]!["role"]!));
        Assert.Equal(EvaluationPrompts.Load("reference")[3].Text, (string)prompts[3]!["messages"]![0]!["content"]!);
    }

    [Theory]
    // The study's client library tried three times within its measured time.
    [InlineData(1, 10)]
    [InlineData(3, 8)]
    [InlineData(4, 11)]
    [InlineData(6, 11)]
    public void ACallBeginsWithTheFirstOfItsThreeAttempts(int attempts, double start)
    {
        double[] starts = attempts switch { 1 => [10], 3 => [8, 9, 10], 4 => [1, 2, 3, 11], _ => [1, 2, 3, 11, 12, 13] };
        RequestRecord r = Records.Ok(0.1, 0.01, 1) with { Attempts = [.. starts.Select(s => new AttemptRecord { StartedAt = s })], FirstChunkAt = 20, FirstContentAt = 21, LastContentAt = 23, ContentChunks = 8, EndedAt = 24 };
        Assert.Equal((20 - start, 24 - start, 4.0), (SeedDefinitions.Client(r).FirstToken!.Value, SeedDefinitions.Client(r).Total, SeedDefinitions.Client(r).OutputSpeed!.Value));
    }

    // The published ranges of the study, and the pairs of means at their ends.
    [Theory]
    [InlineData("short_input_short_output", 0.17, 0.31, 60, 105, 2185, 2222, -31, 10)]
    [InlineData("short_input_short_output", 0.24, 0.385, 60, 105, 2535, 3106, -31, 10)]
    [InlineData("short_input_long_output", 0.80, 0.93, 12, 19, 1723, 1691, -3.5, 2.1)]
    [InlineData("short_input_long_output", 0.95, 1.07, 12, 19, 1776, 1786, -3.5, 2.1)]
    [InlineData("long_input_short_output", 0.10, 0.27, 139, 349, 935, 814, -145, 100)]
    [InlineData("long_input_short_output", 0.17, 0.53, 139, 349, 1388, 2630, -145, 100)]
    [InlineData("long_input_long_output", 0.66, 0.78, 18, 551, 2097, 2097, -4.4, 3.5)]
    [InlineData("long_input_long_output", 0.90, 5.29, 18, 551, 2297, 2310, -4.4, 3.5)]
    public void TheStudysHeadlineComesOutOfOurReader(string type, double server, double client, double leastOverhead, double mostOverhead, double serverSpeed, double clientSpeed, double leastDifference, double mostDifference)
    {
        // A file as the original program wrote it: some keys more than ours would be no matter.
        string json = $$$"""
            {"timestamp": "20250301_164629", "concurrency": 1, "model": "llama-3.3-70b", "num_iterations": 10,
             "results": [{"prompt": "{{{type}}}",
               "server_metrics": {"prompt_time": 0.002, "prompt_time_std": 0.0001, "completion_time": 0.15, "completion_time_std": 0.01, "queue_time": 0.0003, "queue_time_std": 0.0001, "total_server_time": {{{server}}}, "total_server_time_std": 0.02, "server_throughput": {{{serverSpeed}}}, "server_throughput_std": 30.5},
               "client_metrics": {"time_to_first_token": 0.14, "time_to_first_token_std": 0.03, "total_time_per_request": {{{client}}}, "total_time_per_request_std": 0.05, "output_speed": {{{clientSpeed}}}, "output_speed_std": 100},
               "token_usage": {"prompt_tokens": 39, "completion_tokens": 350.4, "total_tokens": 389.4}}],
             "comparison": {}}
            """;
        SeedResults results = SeedResults.FromJson(json);
        Assert.Equal(("20250301_164629", "llama-3.3-70b", 10), (results.Timestamp, results.Model, results.NumIterations));
        SeedComparison comparison = SeedComparison.Of(Assert.Single(results.Results));
        Assert.Equal(client - server, comparison.ServerVsClientLatency.NetworkOverhead!.Value, 1e-12);
        Assert.InRange(comparison.ServerVsClientLatency.OverheadPercentage!.Value, leastOverhead, mostOverhead);
        Assert.InRange(comparison.ServerVsClientThroughput.DifferencePercentage!.Value, leastDifference, mostDifference);
        Assert.Equal((serverSpeed - clientSpeed) / serverSpeed * 100, comparison.ServerVsClientThroughput.DifferencePercentage.Value, 1e-9);
        // Written again nothing is lost.
        Assert.Equal(JsonSerializer.Serialize(results.Results), JsonSerializer.Serialize(SeedResults.FromJson(results.ToJson()).Results));
        Assert.Equal(350.4, results.Results[0].TokenUsage.CompletionTokens);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"results\": 5}")]
    public void WhatIsNoSuchFileIsRefused(string json) => Assert.Throws<InvalidDataException>(() => SeedResults.FromJson(json));

    private static IEnumerable<string> Keys(JsonNode node) => node.AsObject().Select(p => p.Key);
}
