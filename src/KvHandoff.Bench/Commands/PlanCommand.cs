using System.CommandLine;
using System.Diagnostics;
using KvHandoff.Bench.Calibration;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Kernels;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Workers;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>plan</c> command: what a handoff costs, computed before anything is bought.</summary>
internal static class PlanCommand
{
    private const int DefaultTokens = 3100, DefaultOutput = 110, MostTokens = 100_000_000;

    internal static Command Create()
    {
        var deployment = new PlanCommandDeployment("100G");
        Option<int?> tokens = ArgumentRules.Number("--tokens", $"Tokens of the prompt; default {DefaultTokens}.", 1, MostTokens), output = ArgumentRules.Number("--output-tokens", $"Tokens of the answer; default {DefaultOutput}.", 1, MostTokens);
        Option<string?> colocated = PlanCommandDeployment.Text("--colocated", "Node that would do both, to compare with. Default h100-8."), colocatedPrecision = ArgumentRules.Choice("--colocated-precision", "Its number format; default fp8.", "bf16", "fp8");
        Option<string?> calibrate = ArgumentRules.File("--calibrate", "A measured sweep (handoff --sweep --json FILE): fits the model to half of its sizes and predicts the others; --link may then name its transports.");
        Option<string[]?> measure = ArgumentRules.Choices("--measure", "Measure such a sweep now, all sizes in turns, about 20 seconds per transport.", [.. WorkerTransport.All]);
        var measureRates = new Option<bool>("--measure-rates") { Description = "Measure the codecs' rates on one core of this machine now, about 20 seconds." };
        Option<string?> claims = ArgumentRules.File("--claims", "Write docs/claims.md here and do nothing else: the same bytes on every machine.");
        var list = new Option<bool>("--list") { Description = "Show the catalogue and do nothing else." };
        var json = new Option<string?>("--json") { Description = "Also write the results to this file; without one, to the standard output and nothing else there.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> folder = ArgumentRules.Folder("--output", "Also write plan.json and plan.html, with a picture per question, to this directory.");
        var quiet = new Option<bool>("--quiet") { Description = "Print nothing but failures." };
        var command = new Command("plan", """
            What does the handoff cost, before you buy the hardware? A calculator: bytes of K and V; prefill time; time on the wire and how much of it hides
            behind prefill; how many units to send; which codec pays at which link; what fits in decode memory; how many prefill nodes until what
            saturates; and whether it beats one server that does both. Computes from published figures (--list, docs/cost-model.md), in a second.
            Exit code: 0 success, 1 a measurement failed, 2 bad arguments, 130 interrupted.
            Examples:
              plan --model llama-3.3-70b --tokens 3100 --link 100G --output results/plan
              plan --model ./Qwen3-32B/config.json --tokens 32768 --prefill h100-8 --decode h200-8 --link 400G --codec fp8
              plan --link 25G --codec ew3 --codec-cores 4 --measure-rates
              plan --measure shm,tcp --output results/calibrated
              plan --calibrate results/calibrated/sweep.json --link tcp
              plan --claims docs/claims.md
            """);
        foreach (Option option in (IEnumerable<Option>)[.. deployment.Options, tokens, output, colocated, colocatedPrecision, calibrate, measure, measureRates, claims, list, json, folder, quiet]) command.Options.Add(option);
        command.SetAction(async (result, cancellationToken) =>
        {
            try
            {
                if (result.GetValue(claims) is { } claimsFile)
                {
                    await ResultFiles.WriteAsync(claimsFile, ClaimsPage.Render(HardwareCatalogue.Default()));
                    if (!result.GetValue(quiet)) Console.WriteLine(claimsFile);
                    return ExitCodes.Success;
                }

                HardwareCatalogue catalogue = deployment.Catalogue(result);
                if (result.GetValue(list))
                {
                    TerminalReport.Write(PlanListing.Tables(catalogue), 0, 0);
                    return ExitCodes.Success;
                }

                bool toOutput = result.GetResult(json) is { Implicit: false, Tokens.Count: 0 };
                bool isQuiet = result.GetValue(quiet) || toOutput;
                string? calibrationFile = result.GetValue(calibrate);
                CalibrationSection? calibration = calibrationFile is null ? null : SweepCalibration.Read(calibrationFile, PlanCommandDeployment.ReadFile("--calibrate", calibrationFile));
                foreach (CalibrationFitRow fit in calibration?.Fits ?? []) catalogue.Links[fit.Transport] = SweepCalibration.Link(fit, calibration!.File);
                // Refused before minutes of measuring, not after.
                Deployment asked = deployment.Read(result, catalogue);
                Node together = PlanCommandDeployment.Find("--colocated", result.GetValue(colocated) ?? "h100-8", catalogue.Nodes);
                return await MeasuringJob.RunAsync(isQuiet, async display =>
                {
                    long started = Stopwatch.GetTimestamp();
                    if (result.GetValue(measureRates)) CodecRates.Apply(catalogue, new KernelRun(display).Run(CodecRates.Needed, [], cancellationToken), "measured: one core of this machine");
                    if (result.GetValue(measure) is { Length: > 0 } transports)
                    {
                        IReadOnlyList<SweepRow> rows = await new InterleavedSweep(display).RunAsync(transports, cancellationToken);
                        await ResultFiles.WriteAsync(MeasuringJob.In(result.GetValue(folder), "sweep.json"), InterleavedSweep.ToJson(rows));
                        calibration = SweepCalibration.Of("this run", rows);
                    }

                    var run = new PlanRun(asked with { Codec = catalogue.Codecs[asked.Codec.Name] }, together, PlanCommandDeployment.Parse(result.GetValue(colocatedPrecision) ?? "fp8"), result.GetValue(tokens) ?? DefaultTokens, result.GetValue(output) ?? DefaultOutput, catalogue);
                    return new PlanJob(run, run.Summary(calibration, Stopwatch.GetElapsedTime(started).TotalSeconds));
                }, job =>
                {
                    string text = job.ToJson();
                    if (toOutput) Console.WriteLine(text);
                    string? page = MeasuringJob.In(result.GetValue(folder), "plan.html");
                    return [(result.GetValue(json), text), (MeasuringJob.In(result.GetValue(folder), "plan.json"), text), (page, page is null ? "" : PlanPage.Render(job.Summary, job.Run))];
                });
            }
            catch (InvalidDataException e)
            {
                await Console.Error.WriteLineAsync(e.Message);
                return ExitCodes.BadArguments;
            }
        });
        return command;
    }

    // What a plan is and how it was asked for, for the page.
    private sealed record PlanJob(PlanRun Run, PlanSummary Summary) : IJobSummary
    {
        public double ElapsedSeconds => Summary.ElapsedSeconds;

        public IReadOnlyList<string> Failures => Summary.Failures;

        public string ToJson() => Summary.ToJson();

        public IEnumerable<ReportTable> Tables() => Summary.Tables();
    }
}
