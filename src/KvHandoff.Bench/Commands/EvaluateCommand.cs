using System.CommandLine;
using System.Globalization;
using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Files;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Evaluation.Statistics;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Simulation;
using Spectre.Console;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>evaluate</c> command: reads its arguments, runs the evaluation, writes its files.</summary>
internal static class EvaluateCommand
{
    internal const string DefaultEndpoint = "http://127.0.0.1:8080";
    private const string NoKey = "none";
    private const int MostIterations = 100_000, MostLanes = 4096, MostTraceRequests = 1_000_000, DefaultTraceRequests = 1000, WideTerminal = 175;

    /// <param name="writePages">Draws report.html and the plots into the run's directory, when all other files lie there; null: none are drawn.</param>
    internal static Command Create(Action<EvaluationSummary, string>? writePages = null)
    {
        Option<string?> endpoint = PlanCommandDeployment.Text("--endpoint", $"Where the server is, with or without /v1; default {DefaultEndpoint}."), model = PlanCommandDeployment.Text("--model", "Name of the model; default the first of /v1/models.");
        Option<string?> keyVariable = PlanCommandDeployment.Text("--api-key-env", $"Variable that holds the key, in the environment or in .env of the working directory; none sends no key; default {string.Join(", then ", ApiKey.Variables)}.");
        Option<string?> set = ArgumentRules.Choice("--prompt-set", $"Which fixed texts: reference suits the byte-level model, chat instruction-tuned ones; default {EvaluationPrompts.ReferenceSet}.", [.. EvaluationPrompts.Sets]);
        Option<string[]?> types = ArgumentRules.Choices("--prompts", "Which prompt types; default all four.", [.. EvaluationPrompts.Types]);
        Option<int?> completion = ArgumentRules.Number("--completion", "Most tokens per answer; default the types' own.", 1, 1_000_000), iterations = ArgumentRules.Number("--iterations", $"Measured requests per prompt type and load; default {EvaluationSettings.DefaultIterations}.", 1, MostIterations), warmUp = ArgumentRules.Number("--warm-up", "Requests per prompt type before each load, which do not count; default 1.", 0, 1000);
        var fresh = new Option<bool>("--fresh-prompts") { Description = "Begin every prompt with seed, load and iteration, so that no prefix cache of the server has it." };
        Option<string?> concurrency = PlanCommandDeployment.Text("--concurrency", "Requests at a time, each lane sending the next when its own has ended; several loads as 1,2,4; default 1."), rate = PlanCommandDeployment.Text("--rate", "Requests per second at random times whatever the server does; several loads as 0.5,1,2.");
        Option<string?> trace = ArgumentRules.File("--trace", "Requests of a trace in Mooncake's format, at its times, with texts cut to its lengths."), traceSpeed = PlanCommandDeployment.Text("--trace-speed", "How many times as fast as written; default 1."), bytesPerToken = PlanCommandDeployment.Text("--bytes-per-token", "How long the texts for a trace's tokens are; default measured in the warm-up.");
        Option<int?> maxRequests = ArgumentRules.Number("--max-requests", $"Most requests of a trace; default {DefaultTraceRequests}.", 1, MostTraceRequests), maxInput = ArgumentRules.Number("--max-input", "Most prompt tokens of a trace's request: longer ones are cut.", 1, 1 << 24);
        Option<string?> timeout = PlanCommandDeployment.Text("--timeout", "Most time of one attempt, such as 30s; default 300s."), retryWait = PlanCommandDeployment.Text("--retry-wait", "Most time that a request waits for rate limits and between attempts in all, such as 60s; default 120s.");
        Option<int?> retries = ArgumentRules.Number("--retries", $"Most attempts after the first; default {EvaluationSettings.DefaultMaxAttempts - 1}.", 0, 100), seed = ArgumentRules.Number("--seed", "Of everything random; default 1.", 0, int.MaxValue);
        Option<string?> slo = PlanCommandDeployment.Text("--slo", "Objectives of a request, such as ttft:200ms,itl:50ms,e2e:5s."), sloShare = PlanCommandDeployment.Text("--slo-share", "Share of requests that has to meet them, such as 0.9; less is exit code 1.");
        var noStream = new Option<bool>("--no-stream") { Description = "Ask for whole replies: there are no times of tokens then." };
        Option<string?> temperature = PlanCommandDeployment.Text("--temperature", "From 0 to 2, or none to send none; default 0.");
        Option<string?> limitField = ArgumentRules.Choice("--limit-field", "Name under which the most tokens are asked for; default max_completion_tokens; max_tokens for servers that know only that.", "max_completion_tokens", "max_tokens");
        var noUsage = new Option<bool>("--no-stream-options") { Description = "Do not ask for usage in streams, for servers that refuse stream_options." };
        var baseline = new Option<bool>("--disaggregated-baseline") { Description = "The same load over the gateway's disaggregated and monolithic routes in turns; texts must be equal." };
        var seedCompat = new Option<bool>("--seed-compat") { Description = "The original study's way: types one after the other, in batches with a barrier, no limit of tokens, no temperature, no warm-up; and its files beside the others." };
        Option<string?> json = ArgumentRules.File("--json", "Also write the summary to this file."), output = ArgumentRules.Folder("--output", "Where all files go; default results/<time>.");
        var quiet = new Option<bool>("--quiet") { Description = "Print nothing but failures." };
        var command = new Command("evaluate", """
            Measures an OpenAI- or Cerebras-compatible endpoint as its users meet it: four prompt types with fixed texts, streamed; what the client sees, what the
            server says, tokens, network overhead, errors and retries apart, percentiles with bootstrap intervals. Every request is kept in records.jsonl.
            Exit code: 0 success, 1 a measured failure (objectives missed, texts of two routes differ, nothing succeeded), 2 bad arguments, 130 interrupted:
            what had ended by then is written.
            Examples:
              evaluate --endpoint http://127.0.0.1:8080 --iterations 5 --concurrency 1,2,4,8 --output results/1
              evaluate --rate 0.5,1,2 --slo ttft:200ms,itl:50ms --slo-share 0.9
              evaluate --disaggregated-baseline --iterations 12
              evaluate --endpoint https://api.cerebras.ai --model gpt-oss-120b --prompt-set chat --seed-compat
              evaluate --trace conversation_trace.jsonl --trace-speed 10 --max-requests 100 --max-input 2000
            """);
        foreach (Option option in (IEnumerable<Option>)[endpoint, model, keyVariable, set, types, fresh, completion, iterations, warmUp, concurrency, rate, trace, traceSpeed, bytesPerToken, maxRequests, maxInput, timeout, retryWait, retries, seed, slo, sloShare, noStream, temperature, limitField, noUsage, baseline, seedCompat, json, output, quiet])
            command.Options.Add(option);
        command.Subcommands.Add(GenerateTraceCommand.Create());
        var schema = new Command("schema", "Prints the JSON Schema of summary.json.");
        schema.SetAction(_ => Console.Write(SummarySchema.Render()));
        command.Subcommands.Add(schema);
        EvaluateCommandRules.Add(command, [concurrency, rate, trace], [traceSpeed, bytesPerToken, maxRequests, maxInput], trace, iterations, (slo, sloShare), seedCompat, [rate, trace, fresh, completion, temperature, baseline, noStream, limitField], baseline, temperature, fresh);
        command.SetAction(async (result, cancellationToken) =>
        {
            try
            {
                bool compat = result.GetValue(seedCompat);
                EndpointAddress address = EndpointAddress.Parse(result.GetValue(endpoint) ?? DefaultEndpoint);
                var settings = new EvaluationSettings
                {
                    Endpoint = address,
                    Key = result.GetValue(keyVariable) is NoKey ? null : ApiKey.Find(result.GetValue(keyVariable), address, Directory.GetCurrentDirectory(), Environment.GetEnvironmentVariable),
                    Model = result.GetValue(model),
                    PromptSet = result.GetValue(set) ?? EvaluationPrompts.ReferenceSet,
                    Types = result.GetValue(types) is { Length: > 0 } asked ? asked : EvaluationPrompts.Types,
                    FreshPrompts = result.GetValue(fresh),
                    CompletionTokens = result.GetValue(completion),
                    Loads = EvaluateCommandRules.Loads(result.GetValue(concurrency), result.GetValue(rate), result.GetValue(trace), result.GetValue(traceSpeed), result.GetValue(maxRequests) ?? DefaultTraceRequests, result.GetValue(maxInput), MostLanes),
                    Iterations = result.GetValue(iterations) ?? EvaluationSettings.DefaultIterations,
                    WarmUp = result.GetValue(warmUp) ?? (compat ? 0 : 1),
                    Stream = !result.GetValue(noStream),
                    Temperature = compat ? null : EvaluateCommandRules.Temperature(result.GetValue(temperature)),
                    IncludeUsage = !compat && !result.GetValue(noUsage),
                    LimitField = result.GetValue(limitField) ?? "max_completion_tokens",
                    Timeout = EvaluateCommandRules.Time("--timeout", result.GetValue(timeout), EvaluationSettings.DefaultTimeoutSeconds),
                    RetryWait = EvaluateCommandRules.Time("--retry-wait", result.GetValue(retryWait), EvaluationSettings.DefaultRetryWaitSeconds),
                    MaxAttempts = (result.GetValue(retries) ?? EvaluationSettings.DefaultMaxAttempts - 1) + 1,
                    Objectives = result.GetValue(slo) is { } text ? Objectives.Parse(text) : [],
                    SloShare = result.GetValue(sloShare) is { } share ? PlanCommandDeployment.Number("--slo-share", share, 0.9, 0, 1) : null,
                    HasBaseline = result.GetValue(baseline),
                    SeedCompat = compat,
                    BytesPerToken = result.GetValue(bytesPerToken) is { } bytes ? PlanCommandDeployment.Number("--bytes-per-token", bytes, 4, 0.01, 100) : null,
                    Seed = (ulong)(result.GetValue(seed) ?? 1),
                    CommandLine = string.Join(' ', result.Tokens.Select(t => t.Value.Contains(' ', StringComparison.Ordinal) ? $"'{t.Value}'" : t.Value)),
                    OutputDirectory = result.GetValue(output) ?? Path.Combine("results", DateTime.Now.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture)),
                };
                return await RunAsync(settings, result.GetValue(json), result.GetValue(quiet), writePages, cancellationToken);
            }
            catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                await Console.Error.WriteLineAsync(e.Message.ReplaceLineEndings(" "));
                return ExitCodes.BadArguments;
            }
            catch (OperationCanceledException)
            {
                await Console.Error.WriteLineAsync("Interrupted before the first request; no results were written.");
                return ExitCodes.Interrupted;
            }
        });
        return command;
    }

    private static async Task<int> RunAsync(EvaluationSettings settings, string? jsonFile, bool quiet, Action<EvaluationSummary, string>? writePages, CancellationToken cancellationToken)
    {
        EvaluationSummary summary = await WithProgressAsync(quiet, async progress =>
        {
            await using var records = new RecordsFile(Path.Combine(settings.OutputDirectory, RecordsFile.Name));
            return await new EvaluationJob(settings, progress, new RunClock(), records).RunAsync(cancellationToken);
        });
        await EvaluationFiles.WriteAsync(summary, settings.OutputDirectory, jsonFile);
        writePages?.Invoke(summary, settings.OutputDirectory);
        if (!quiet)
        {
            TerminalReport.Write(Console.IsOutputRedirected || AnsiConsole.Profile.Width >= WideTerminal ? summary.Tables() : EvaluationTables.Narrow(summary), summary.Failures.Count, summary.ElapsedSeconds);
            foreach (string warning in summary.Warnings) Console.WriteLine(warning);
            Console.WriteLine($"Files: {settings.OutputDirectory}");
        }

        foreach (string failure in summary.Failures) await Console.Error.WriteLineAsync("FAILED: " + failure);
        if (summary.Run.WasCancelled)
        {
            await Console.Error.WriteLineAsync("Interrupted; what had ended by then was written.");
            return ExitCodes.Interrupted;
        }

        return summary.Failures.Count == 0 ? ExitCodes.Success : ExitCodes.Failure;
    }

    private static Task<T> WithProgressAsync<T>(bool quiet, Func<IEvaluationProgress, Task<T>> job)
    {
        if (quiet) return job(new PlainProgress(null));
        return AnsiConsole.Profile.Capabilities.Interactive && !Console.IsOutputRedirected ? TerminalProgress.RunAsync(AnsiConsole.Console, job) : job(new PlainProgress(Console.Out));
    }
}
