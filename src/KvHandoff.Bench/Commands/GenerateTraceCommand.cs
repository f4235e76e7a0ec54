using System.CommandLine;
using KvHandoff.Bench.Evaluation.Load;

namespace KvHandoff.Bench.Commands;

/// <summary><c>evaluate generate-trace</c>: a small trace in Mooncake's format, for endpoints that the published ones are too large for.</summary>
internal static class GenerateTraceCommand
{
    internal static Command Create()
    {
        Option<string?> file = ArgumentRules.File("--file", "Where the trace goes.");
        file.Required = true;
        Option<int?> requests = ArgumentRules.Number("--requests", "How many; default 100.", 2, 1_000_000), input = ArgumentRules.Number("--input", "Mean prompt tokens; default 1024.", 1, 1_000_000), output = ArgumentRules.Number("--output-tokens", "Mean answer tokens; default 128.", 1, 100_000), seed = ArgumentRules.Number("--seed", "Of everything random; default 1.", 0, int.MaxValue);
        Option<string?> rate = PlanCommandDeployment.Text("--rate", "Mean requests per second; default 1."), shared = PlanCommandDeployment.Text("--shared", "Share of requests that go on with an earlier prompt; default 0.5.");
        var command = new Command("generate-trace", "Writes a trace in Mooncake's format: lognormal lengths, Poisson arrivals, some requests going on with an earlier prompt.\nExample:\n  evaluate generate-trace --file small.jsonl --requests 50 --rate 2 --input 600 --output-tokens 60") { file, requests, rate, input, output, shared, seed };
        command.SetAction(async (result, cancellationToken) =>
        {
            try
            {
                string text = TraceGenerator.Generate(result.GetValue(requests) ?? 100, PlanCommandDeployment.Number("--rate", result.GetValue(rate), 1, 1e-3, 1e5), result.GetValue(input) ?? 1024, result.GetValue(output) ?? 128, PlanCommandDeployment.Number("--shared", result.GetValue(shared), 0.5, 0, 1), (ulong)(result.GetValue(seed) ?? 1));
                await Reports.ResultFiles.WriteAsync(result.GetValue(file), text);
                Console.WriteLine(result.GetValue(file));
                return ExitCodes.Success;
            }
            catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                await Console.Error.WriteLineAsync(e.Message.ReplaceLineEndings(" "));
                return ExitCodes.BadArguments;
            }
        });
        return command;
    }
}
