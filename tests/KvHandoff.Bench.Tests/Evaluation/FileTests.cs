using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Files;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Evaluation.Statistics;
using KvHandoff.Bench.Tests.Commands;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Every file of a run, against the records that it was made from.</summary>
public sealed class FileTests
{
    [Fact]
    public async Task EveryFileSaysTheSame()
    {
        using var scratch = new Scratch();
        EvaluationSummary summary = await RunAsync(scratch);
        await EvaluationFiles.WriteAsync(summary, scratch.FullName, scratch.File("more/copy.json"));
        Assert.Equal(["profile_export.jsonl", "records.jsonl", "report.md", "summary.csv", "summary.json", "vllm_concurrency_1_disaggregated.json", "vllm_concurrency_1_monolithic.json", "vllm_concurrency_2_disaggregated.json", "vllm_concurrency_2_monolithic.json"],
            Directory.GetFiles(scratch.FullName).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal));

        // Read back and written again it is the same text.
        string json = await File.ReadAllTextAsync(scratch.File("summary.json"));
        Assert.Equal(json, EvaluationSummary.FromJson(json).ToJson());
        Assert.Equal(json, await File.ReadAllTextAsync(scratch.File("more/copy.json")));

        RequestRecord[] records = [.. RecordsFile.Read(File.ReadLines(scratch.File("records.jsonl")))];
        Assert.Equal(summary.Requests.Select(RecordsFile.Line).Order(StringComparer.Ordinal), records.Select(RecordsFile.Line).Order(StringComparer.Ordinal));

        Csv(summary, await File.ReadAllLinesAsync(scratch.File("summary.csv")));
        Aiperf(summary, await File.ReadAllLinesAsync(scratch.File("profile_export.jsonl")));
        Vllm(summary, JsonNode.Parse(await File.ReadAllTextAsync(scratch.File("vllm_concurrency_2_monolithic.json")))!.AsObject());

        string report = await File.ReadAllTextAsync(scratch.File("report.md"));
        foreach (string part in (string[])["## Loads", "## What the client saw", "## What the server says of itself", "## Tokens", "## Disaggregated against monolithic", "## Provenance", "long_input_long_output", summary.Prompts[0].Sha256]) Assert.Contains(part, report);
        // Rows of a table have as many cells as its head.
        foreach (KvHandoff.Bench.Reports.ReportTable table in summary.Tables().Concat(EvaluationTables.Narrow(summary))) Assert.All(table.Rows, row => Assert.Equal(table.Columns.Count, row.Count));
    }

    [Fact]
    public async Task TheSchemaIsThePublishedOneAndHoldsForARun()
    {
        string published = await File.ReadAllTextAsync(Path.Combine(AppContext.BaseDirectory, "../../../../../docs/evaluation.schema.json"));
        Assert.Equal(SummarySchema.Render(), published);
        using var scratch = new Scratch();
        JsonElement schema = JsonDocument.Parse(published).RootElement;
        string json = (await RunAsync(scratch)).ToJson();
        Assert.Empty(SchemaCheck.Errors(schema, JsonDocument.Parse(json).RootElement));
        // And the check can fail.
        foreach ((string from, string to) in new[] { ("\"kvhandoff.bench/1\"", "\"kvhandoff.bench/2\""), ("\"iterations\": 2", "\"iterations\": \"2\""), ("\"outcome\":", "\"outcom\":"), ("\"p50\": ", "\"p50\": null, \"was\": ") })
            Assert.NotEmpty(SchemaCheck.Errors(schema, JsonDocument.Parse(json.Replace(from, to, StringComparison.Ordinal)).RootElement));
    }

    [Theory]
    [InlineData("{", "cannot be read")]
    [InlineData("null", "expected 'kvhandoff.bench/1'")]
    [InlineData("{}", "cannot be read")]
    public void WhatIsNoSummaryIsRefused(string json, string says) => Assert.Contains(says, Assert.Throws<InvalidDataException>(() => EvaluationSummary.FromJson(json)).Message);

    [Fact]
    public async Task ASummaryOfAnotherSchemaOrCommandIsRefusedByName()
    {
        using var scratch = new Scratch();
        string json = (await RunAsync(scratch)).ToJson();
        Assert.Contains("'kvhandoff.bench/9'", Assert.Throws<InvalidDataException>(() => EvaluationSummary.FromJson(json.Replace("kvhandoff.bench/1", "kvhandoff.bench/9", StringComparison.Ordinal))).Message);
        Assert.Contains("'handoff'", Assert.Throws<InvalidDataException>(() => EvaluationSummary.FromJson(json.Replace("\"command\": \"evaluate\"", "\"command\": \"handoff\"", StringComparison.Ordinal))).Message);
    }

    [Fact]
    public async Task ChunkTimesThatTheSummaryLeavesOutComeFromTheRecords()
    {
        using var scratch = new Scratch();
        EvaluationSummary summary = await RunAsync(scratch);
        EvaluationSummary without = summary with { ChunkTimesOmitted = true, Requests = [.. summary.Requests.Select(r => r with { ContentChunkSeconds = [] })] };
        await EvaluationFiles.WriteAsync(without, scratch.FullName, null);
        Vllm(summary, JsonNode.Parse(await File.ReadAllTextAsync(scratch.File("vllm_concurrency_2_monolithic.json")))!.AsObject());
    }

    [Fact]
    public async Task FailedRequestsAreInTheExportsAsFailed()
    {
        await using var server = new ScriptedServer(_ => Reply.Json(400, """{"message":"no","code":"bad"}"""));
        EvaluationSummary summary = await EvaluationRuns.RunAsync(EvaluationRuns.Settings(server) with { Iterations = 1 });
        JsonObject line = JsonNode.Parse(AiperfExport.Lines(summary.Run, summary.Requests).First())!.AsObject();
        Assert.Equal((400, "bad", "no"), ((int)line["error"]!["code"]!, (string)line["error"]!["type"]!, (string)line["error"]!["message"]!));
        Assert.Empty(line["metrics"]!.AsObject());
        JsonObject vllm = VllmExport.Render(summary, summary.Loads[0], summary.Requests);
        Assert.Equal((0, 4), ((int)vllm["completed"]!, (int)vllm["failed"]!));
        Assert.All(vllm["errors"]!.AsArray(), e => Assert.Equal("no", (string)e!));
        Assert.All(vllm["ttfts"]!.AsArray(), Assert.Null);
    }

    private static async Task<EvaluationSummary> RunAsync(Scratch scratch)
    {
        await using var server = new ScriptedServer(r => Reply.Tokens(4, 2, timeInfo: """{"queue_time":0.001,"prompt_time":0.002,"completion_time":0.02,"total_time":0.025,"handoff_time":0.001}"""));
        await using var records = new RecordsFile(scratch.File("records.jsonl"));
        EvaluationSettings settings = EvaluationRuns.Settings(server, LoadSpec.OfConcurrency(1), LoadSpec.OfConcurrency(2)) with { Iterations = 2, WarmUp = 1, HasBaseline = true, Objectives = Objectives.Parse("ttft:60s,itl:60s"), SloShare = 0.5 };
        return await new EvaluationJob(settings, new SilentProgress(), new RunClock(), records).RunAsync(default);
    }

    private static void Csv(EvaluationSummary summary, string[] lines)
    {
        Assert.Equal("run,load,route,stage,metric,unit,stat,value", lines[0]);
        Assert.All(lines, l => Assert.Equal(8, l.Split(',').Length));
        Assert.Equal(lines.Length, lines.Distinct().Count());
        MetricStatistics latency = summary.Loads[1].Stages[2].Metrics[MetricNames.Latency];
        string start = $"{summary.Run.Id},concurrency 1,monolithic,{summary.Loads[1].Stages[2].Name},latency,s,";
        Assert.Contains(start + "p99.9," + latency.P999.ToString("R", CultureInfo.InvariantCulture), lines);
        Assert.Contains(start + "count,2", lines);
        Assert.DoesNotContain(lines, l => l.Contains("NaN", StringComparison.Ordinal) || l.Contains("Infinity", StringComparison.Ordinal));
    }

    private static void Aiperf(EvaluationSummary summary, string[] lines)
    {
        Assert.Equal(summary.Requests.Count(r => r.Phase == Outcomes.Measured), lines.Length);
        JsonObject line = JsonNode.Parse(lines[3])!.AsObject();
        Assert.Equal(["metadata", "metrics", "error"], line.Select(p => p.Key));
        Assert.Equal(["session_num", "x_request_id", "x_correlation_id", "conversation_id", "turn_index", "request_start_ns", "request_ack_ns", "request_end_ns", "worker_id", "record_processor_id", "benchmark_phase", "was_cancelled", "cancellation_time_ns"], line["metadata"]!.AsObject().Select(p => p.Key));
        RequestRecord r = summary.Requests.Single(q => q.Id == (string)line["metadata"]!["x_request_id"]!);
        Assert.Equal(3, (int)line["metadata"]!["session_num"]!);
        long start = (long)line["metadata"]!["request_start_ns"]!, end = (long)line["metadata"]!["request_end_ns"]!;
        Assert.InRange(end - start, (long)(r.Client.LatencySeconds!.Value * 1e9) - 1000, (long)(r.Client.LatencySeconds.Value * 1e9) + 1000);
        Assert.InRange((long)line["metadata"]!["request_ack_ns"]!, start, end);
        JsonNode metrics = line["metrics"]!;
        Assert.Equal((r.Client.FirstTokenSeconds!.Value * 1e3, "ms"), ((double)metrics["time_to_first_token"]!["value"]!, (string)metrics["time_to_first_token"]!["unit"]!));
        // aiperf's second token counts from the first.
        Assert.Equal((r.Client.SecondTokenSeconds!.Value - r.Client.FirstTokenSeconds.Value) * 1e3, (double)metrics["time_to_second_token"]!["value"]!, 1e-6);
        Assert.Equal(3, metrics["inter_chunk_latency"]!["value"]!.AsArray().Count);
        Assert.Equal((20, 4), ((int)metrics["input_sequence_length"]!["value"]!, (int)metrics["output_sequence_length"]!["value"]!));
        Assert.Null(line["error"]);
    }

    private static void Vllm(EvaluationSummary summary, JsonObject json)
    {
        LoadSection load = summary.Loads[3];
        string[] keys = ["duration", "completed", "failed", "total_input_tokens", "total_output_tokens", "request_throughput", "request_goodput", "output_throughput", "total_token_throughput", "input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times", "queue_times", "errors",
            .. from metric in (string[])["ttft", "tpot", "itl", "e2el"] from stat in (string[])["mean", "median", "std", "p99"] select $"{stat}_{metric}_ms"];
        foreach (string key in keys) Assert.True(json.ContainsKey(key), key);
        Assert.Equal((8, 0, 8 * 20, 8 * 4), ((int)json["completed"]!, (int)json["failed"]!, (int)json["total_input_tokens"]!, (int)json["total_output_tokens"]!));
        Assert.Equal(load.Stages[0].Metrics[MetricNames.FirstToken].Mean * 1e3, (double)json["mean_ttft_ms"]!, 1e-9);
        RequestRecord[] requests = [.. summary.Requests.Where(r => r is { Phase: Outcomes.Measured, Load: 3 }).OrderBy(r => r.ScheduledAt)];
        Assert.Equal(requests.Select(r => r.Client.FirstTokenSeconds!.Value), json["ttfts"]!.AsArray().Select(v => (double)v!));
        Assert.All(json["itls"]!.AsArray(), v => Assert.Equal(3, v!.AsArray().Count));
        Assert.Equal(requests[0].ContentChunkSeconds[1] - requests[0].ContentChunkSeconds[0], (double)json["itls"]![0]![0]!, 1e-9);
    }
}
