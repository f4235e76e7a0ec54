using System.CommandLine;
using System.Globalization;
using KvHandoff.Bench.Handoff;
using KvHandoff.Bench.Prompts;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Bench.Workers;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>handoff</c> command: reads its arguments, runs the job, writes its results.</summary>
internal static class HandoffCommand
{
    private const int MaxTokens = 1_000_000, MaxStreams = 8, MaxCompletion = 1780, MaxLayerDelayMilliseconds = 10_000;

    internal static Command Create()
    {
        Option<string?> model = ArgumentRules.Choice("--model", "Whose cache to hand over; all = the reference model's prompts and a llama-3.3-70b-shaped cache.",
            [HandoffSettings.All, ReferenceModel.Name, .. ShapedModel.All.Select(m => m.Name)]);
        Option<int?> tokens = ArgumentRules.Number("--tokens", $"Tokens of the synthesised cache; default {HandoffSettings.DefaultTokens}.", 1, MaxTokens);
        Option<string[]?> prompts = ArgumentRules.Choices("--prompts", "Which prompts the reference model gets; default: all four.", [.. PromptSet.Shapes.Select(s => s.Name)]);
        Option<int?> completion = ArgumentRules.Number("--completion", "Most tokens to generate per prompt; default: the prompt's own number.", 2, MaxCompletion);
        Option<string?> codec = ArgumentRules.Choice("--codec", "How rows travel; default: raw, and others beside it where no equality is at stake.", [.. OfferedCodec.All.Select(c => c.Name)]);
        Option<string[]?> transport = ArgumentRules.Choices("--transport", "How bytes travel between the processes; default: tcp, and the others beside it.", [.. WorkerTransport.All]);
        var sweep = new Option<bool>("--sweep") { Description = "Nothing but handoffs from one block to 64 MB over each transport: latency, bandwidth, handoffs per second, and a line through them." };
        Option<int?> streams = ArgumentRules.Number("--streams", "Data connections, each with a thread; default 1.", 1, MaxStreams);
        var skipStages = new Option<bool>("--skip-stages") { Description = "Leave the BenchmarkDotNet stage runs out." };
        Option<string?> json = ArgumentRules.File("--json", "Also write the summary to this file.");
        Option<string?> output = ArgumentRules.Folder("--output", "Where summary.json, report.html and logs go; default results/<time>.");
        var quiet = new Option<bool>("--quiet") { Description = "Print nothing but failures." };
        Option<string?> fault = ArgumentRules.Choice("--test-fault", "Damage the landed cache before decoding.", [.. LandedFault.Names]);
        Option<int?> delay = ArgumentRules.Number("--test-layer-delay-ms", "Wait before each published layer.", 0, MaxLayerDelayMilliseconds);
        fault.Hidden = delay.Hidden = true;
        var command = new Command("handoff", """
            Hands KV caches from a prefill process to a decode process on this machine and says what it costs.
            Without arguments: measures the machine's limits, hands the reference model's caches of four prompts over and checks that the decoded
            tokens equal those of a single process, hands a Llama-3.3-70B-shaped cache of 3,100 tokens (1.0 GB) over and compares every byte, over
            TCP, a Unix socket, shared memory and TLS, in turns with a bare loop of each; times one-block handoffs and each stage alone, and projects to 10 to 3200 Gb/s. Writes summary.json and report.html. Takes up to 3 minutes.
            Exit code: 0 success, 1 a measured failure (tokens or bytes differ, a worker died), 2 bad arguments, 130 interrupted.
            Examples:
              handoff --json summary.json
              handoff --model llama-3.1-8b --tokens 8000 --codec fp8 --streams 2 --skip-stages
              handoff --model reference --prompts long-short --codec fp8
              handoff --model llama-3.3-70b --transport shm,unix --skip-stages
              handoff --sweep --transport tcp,shm
            Transports: tcp; unix, a socket of this host; shm, where the sender writes into the receiver's blocks; tls, TCP with a certificate made
            for the run, which both sides show and pin. With several, the reference model's prompts go over the first one.
            """)
        {
            model, tokens, prompts, completion, codec, transport, streams, sweep, skipStages, json, output, quiet, fault, delay,
        };
        // A sweep has its own sizes and shape: what would be ignored is refused.
        Option[] notSwept = [model, tokens, prompts, completion, codec];
        command.Validators.Add(result =>
        {
            if (result.GetResult(sweep) is not { Implicit: false }) return;
            if (notSwept.FirstOrDefault(o => result.GetResult(o) is { Implicit: false }) is { } ignored)
                result.AddError($"{ignored.Name}: '{result.GetResult(ignored)!.Tokens.FirstOrDefault()?.Value}' is not allowed with --sweep; allowed: --transport, --streams, --json, --output, --quiet");
        });
        command.SetAction((result, cancellationToken) => RunAsync(new HandoffSettings
        {
            Model = result.GetValue(model) ?? HandoffSettings.All,
            Tokens = result.GetValue(tokens) ?? HandoffSettings.DefaultTokens,
            Prompts = result.GetValue(prompts) is { Length: > 0 } names ? [.. names.Select(PromptSet.Find)] : PromptSet.Shapes,
            Completion = result.GetValue(completion),
            Codec = result.GetValue(codec),
            Transports = result.GetValue(transport) is { Length: > 0 } transports ? transports : null,
            Sweep = result.GetValue(sweep),
            Streams = result.GetValue(streams) ?? 1,
            SkipStages = result.GetValue(skipStages),
            JsonFile = result.GetValue(json),
            OutputDirectory = result.GetValue(output) ?? Path.Combine("results", DateTime.Now.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture)),
            Quiet = result.GetValue(quiet),
            Fault = result.GetValue(fault) ?? LandedFault.None,
            LayerDelayMilliseconds = result.GetValue(delay) ?? 0,
        }, cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(HandoffSettings settings, CancellationToken cancellationToken)
    {
        if (Refusal(settings) is { } refusal)
        {
            await Console.Error.WriteLineAsync(refusal);
            return ExitCodes.BadArguments;
        }

        try
        {
            Summary summary = await JobDisplays.RunAsync(settings.Quiet, display => new HandoffJob(settings, display).RunAsync(cancellationToken));
            await WriteAsync(settings, summary);
            foreach (string failure in summary.Failures) await Console.Error.WriteLineAsync("FAILED: " + failure);
            return summary.Failures.Count == 0 ? ExitCodes.Success : ExitCodes.Failure;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("Interrupted; the worker processes have ended and no results were written.");
            return ExitCodes.Interrupted;
        }
        catch (WorkerException e)
        {
            await Console.Error.WriteLineAsync("FAILED: " + e.Message);
            return ExitCodes.Failure;
        }
        catch (Exception e) when (e is InvalidDataException or KvHandoff.Model.Checkpoint.CheckpointException)
        {
            await Console.Error.WriteLineAsync("FAILED: " + e.Message);
            return ExitCodes.Failure;
        }
    }

    // Two processes hold the whole cache each, and a third of it again is room for everything else.
    private static string? Refusal(HandoffSettings settings)
    {
        if (settings.Sweep || !settings.RunsShaped) return null;
        long needed = ShapedModel.Find(settings.ShapedModelName).Layout.BytesForTokens(settings.Tokens) * 7 / 3, available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (needed <= available) return null;
        long most = settings.Tokens * available / needed;
        return string.Create(CultureInfo.InvariantCulture, $"--tokens: '{settings.Tokens}' is not allowed: {settings.ShapedModelName} then takes {needed} bytes in two processes and this machine has {available}; allowed: a whole number from 1 to {most}");
    }

    private static async Task WriteAsync(HandoffSettings settings, Summary summary)
    {
        string json = summary.ToJson(), page = Path.Combine(settings.OutputDirectory, "report.html");
        await ResultFiles.WriteAsync(Path.Combine(settings.OutputDirectory, "summary.json"), json);
        await ResultFiles.WriteAsync(page, HtmlReport.Render(summary, await HtmlReport.KernelsInAsync(settings.OutputDirectory)));
        await ResultFiles.WriteAsync(settings.JsonFile, json);
        if (settings.Quiet) return;
        TerminalReport.Write(summary);
        Console.WriteLine($"Report: {page}");
    }
}
