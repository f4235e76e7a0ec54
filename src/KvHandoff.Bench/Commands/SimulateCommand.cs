using System.CommandLine;
using System.Globalization;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Reports;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>simulate</c> command: the cost model under load.</summary>
internal static class SimulateCommand
{
    private const string Alike = "alike", DefaultWorkload = "conversation";
    private const int MostNodes = 100_000, MostRequests = 10_000_000;

    internal static Command Create()
    {
        var deployment = new PlanCommandDeployment("400G");
        Option<int?> prefillNodes = ArgumentRules.Number("--prefill-nodes", "Nodes that prefill; default 2.", 1, MostNodes), decodeNodes = ArgumentRules.Number("--decode-nodes", "Nodes that decode; default 1. Each has a link of its own.", 1, MostNodes);
        Option<string?> workload = ArgumentRules.Choice("--workload", $"Requests drawn with published statistics, or all alike; default {DefaultWorkload}.", [.. MooncakeTrace.Published.Select(p => p.Name), Alike]);
        Option<string?> trace = ArgumentRules.File("--trace", "Requests of a trace in Mooncake's format: JSON lines with timestamp, input_length, output_length, hash_ids.");
        Option<int?> tokens = ArgumentRules.Number("--tokens", "With --workload alike: tokens of each prompt; default 3100.", 1, 100_000_000), output = ArgumentRules.Number("--output-tokens", "With --workload alike: tokens of each answer; default 110.", 1, 100_000_000);
        Option<int?> requests = ArgumentRules.Number("--requests", "How many; default those of the workload, 10000 of requests that are alike.", 2, MostRequests);
        Option<string?> rate = PlanCommandDeployment.Text("--rate", "Requests per second; default the workload's own, 1 of requests that are alike."), burstiness = PlanCommandDeployment.Text("--burstiness", "With --arrivals gamma: coefficient of variation of the gaps; default 2.");
        Option<string?> arrivals = ArgumentRules.Choice("--arrivals", "How they come; default poisson. trace: as the trace says, which is in bursts.", "poisson", "gamma", "even", "trace");
        var shuffle = new Option<bool>("--shuffle") { Description = "Draw sizes independently, as closed forms assume; prefixes are forgotten." };
        Option<string?> sharing = ArgumentRules.Choice("--sharing", "How handoffs share a decode node's link; default fair (max-min).", "fair", "fifo");
        Option<string?> fabric = PlanCommandDeployment.Text("--fabric", "Rate that all handoffs together share in between, such as 3.2T; default no limit.");
        Option<string[]?> instant = ArgumentRules.Choices("--instant", "Sides that take no time, to look at the rest alone.", "prefill", "decode");
        Option<int?> chunk = ArgumentRules.Number("--chunk", "Most tokens of one prefill iteration; default 8192.", 1, 1 << 30), batch = ArgumentRules.Number("--max-batch", "Most sequences that a decode node steps together; default 1024.", 1, 1_000_000), credits = ArgumentRules.Number("--credits", "Most handoffs that a decode node grants at once; default 1024.", 1, 1_000_000);
        Option<string?> prefix = PlanCommandDeployment.Text("--prefix-cache", "Tokens of prompts that are kept beside the prefill nodes, or none, or unlimited; default none.");
        var holds = new Option<bool>("--decode-holds-prefix") { Description = "The decode side has cached prefixes too: only the rest travels." };
        Option<string?> mtbf = PlanCommandDeployment.Text("--mtbf", "Mean seconds between failures of one node; default none fails."), repair = PlanCommandDeployment.Text("--repair", "Seconds until a failed node is back; default 60.");
        Option<string?> ttft = PlanCommandDeployment.Text("--ttft-slo", "Objective: milliseconds to the first token."), tpot = PlanCommandDeployment.Text("--tpot-slo", "Objective: milliseconds per output token, mean of an answer.");
        Option<string?> goodput = PlanCommandDeployment.Text("--goodput", "Search for the highest rate at which this share of requests meets the objectives, such as 0.9.");
        Option<string?> sweepNodes = PlanCommandDeployment.Text("--sweep-nodes", "Also runs with so many prefill nodes, each overloaded, to find what saturates: 1,2,4,8."), sweepLinks = PlanCommandDeployment.Text("--sweep-links", "Also runs over these links: 100G,400G,1.2T."), sweepCodecs = PlanCommandDeployment.Text("--sweep-codecs", "Also runs with these codecs: raw,ew3,fp8.");
        Option<int?> seed = ArgumentRules.Number("--seed", "Of everything random; default 1. The same seed gives the same run.", 0, int.MaxValue);
        var json = new Option<string?>("--json") { Description = "Also write the results to this file; without one, to the standard output and nothing else there.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> folder = ArgumentRules.Folder("--output", "Also write simulation.json and simulation.html, with pictures, to this directory.");
        var quiet = new Option<bool>("--quiet") { Description = "Print nothing but failures." };
        var command = new Command("simulate", """
            The cost model under load: requests arrive, are prefilled in chunks and batches, offered, granted where there is room, sent over shared links
            layer by layer, and decoded in continuous batches. Says how long they take, what is used most, and, with --sweep-nodes, how many prefill nodes
            it takes until what saturates. Discrete events, seeded, one core: 100,000 requests over 1,000 nodes take a few seconds.
            Exit code: 0 success, 2 bad arguments, 130 interrupted.
            Examples:
              simulate --prefill-nodes 4 --decode-nodes 2 --link 400G --output results/simulation
              simulate --workload alike --tokens 3100 --output-tokens 110 --rate 50 --sweep-nodes 1,2,3,4,6,8 --link 1.2T
              simulate --trace conversation_trace.jsonl --arrivals trace --prefix-cache unlimited --sweep-links 100G,200G,400G,1.2T
              simulate --shuffle --instant prefill,decode --sharing fifo --link 150G
              simulate --ttft-slo 2000 --tpot-slo 5 --goodput 0.9 --mtbf 86400
            """);
        foreach (Option option in (IEnumerable<Option>)[prefillNodes, decodeNodes, .. deployment.Options, workload, trace, tokens, output, requests, rate, arrivals, burstiness, shuffle, sharing, fabric, instant, chunk, batch, credits, prefix, holds, mtbf, repair, ttft, tpot, goodput, sweepNodes, sweepLinks, sweepCodecs, seed, json, folder, quiet])
            command.Options.Add(option);
        command.Validators.Add(result =>
        {
            // What would be ignored is refused.
            if (result.GetResult(trace) is { Implicit: false } && result.GetResult(workload) is { Implicit: false } both) result.AddError($"--workload: '{both.Tokens.FirstOrDefault()?.Value}' is not allowed with --trace; allowed: one of the two");
            string? name = result.GetResult(workload) is { Implicit: false } given ? given.Tokens.FirstOrDefault()?.Value : null;
            foreach (Option option in new Option[] { tokens, output })
            {
                if (name != Alike && result.GetResult(option) is { Implicit: false } stray) result.AddError($"{option.Name}: '{stray.Tokens.FirstOrDefault()?.Value}' is not allowed without --workload alike; allowed: --workload alike, or leave it out");
            }
        });
        command.SetAction(async (result, cancellationToken) =>
        {
            try
            {
                HardwareCatalogue catalogue = deployment.Catalogue(result);
                Deployment asked = deployment.Read(result, catalogue);
                (string name, IReadOnlyList<WorkloadRequest> sizes) = Sizes(result.GetValue(trace), result.GetValue(workload) ?? DefaultWorkload, result.GetValue(tokens) ?? 3100, result.GetValue(output) ?? 110, result.GetValue(requests), (ulong)(result.GetValue(seed) ?? 1));
                bool isAlike = result.GetValue(workload) == Alike;
                string? rateText = result.GetValue(rate);
                var run = new SimulationRun
                {
                    Settings = new SimulationSettings
                    {
                        Deployment = asked,
                        PrefillNodes = result.GetValue(prefillNodes) ?? 2,
                        DecodeNodes = result.GetValue(decodeNodes) ?? 1,
                        Sharing = result.GetValue(sharing) == "fifo" ? LinkSharing.Fifo : LinkSharing.Fair,
                        FabricBytesPerSecond = result.GetValue(fabric) is { } fabricText ? PlanCommandDeployment.FindLink("--fabric", fabricText, catalogue).BytesPerSecond : double.PositiveInfinity,
                        IsPrefillInstant = result.GetValue(instant)?.Contains("prefill") == true,
                        IsDecodeInstant = result.GetValue(instant)?.Contains("decode") == true,
                        ChunkTokens = result.GetValue(chunk) ?? 8192,
                        MaxBatch = result.GetValue(batch) ?? 1024,
                        Credits = result.GetValue(credits) ?? 1024,
                        PrefixCacheTokens = Tokens(result.GetValue(prefix)),
                        DecodeHoldsPrefix = result.GetValue(holds),
                        FailureSeconds = PlanCommandDeployment.Number("--mtbf", result.GetValue(mtbf), double.PositiveInfinity, 1e-3, 1e12),
                        RepairSeconds = PlanCommandDeployment.Number("--repair", result.GetValue(repair), 60, 0, 1e9),
                        FirstTokenSlo = PlanCommandDeployment.Number("--ttft-slo", result.GetValue(ttft), double.PositiveInfinity, 1e-6, 1e12) / 1e3,
                        TokenSlo = PlanCommandDeployment.Number("--tpot-slo", result.GetValue(tpot), double.PositiveInfinity, 1e-6, 1e12) / 1e3,
                        Seed = (ulong)(result.GetValue(seed) ?? 1),
                    },
                    Sizes = sizes,
                    WorkloadName = name,
                    Requests = result.GetValue(requests) ?? (isAlike ? 10_000 : sizes.Count),
                    Arrivals = result.GetValue(arrivals) switch { "gamma" => ArrivalKind.Gamma, "even" => ArrivalKind.Even, "trace" => ArrivalKind.Trace, _ => ArrivalKind.Poisson },
                    Rate = rateText is null ? isAlike ? 1 : null : PlanCommandDeployment.Number("--rate", rateText, 1, 1e-6, 1e9),
                    Burstiness = PlanCommandDeployment.Number("--burstiness", result.GetValue(burstiness), 2, 0.05, 20),
                    IsShuffled = result.GetValue(shuffle),
                    Nodes = [.. List(result.GetValue(sweepNodes)).Select(n => (int)PlanCommandDeployment.Number("--sweep-nodes", n, 1, 1, MostNodes))],
                    Links = [.. List(result.GetValue(sweepLinks)).Select(l => PlanCommandDeployment.FindLink("--sweep-links", l, catalogue))],
                    Codecs = [.. List(result.GetValue(sweepCodecs)).Select(c => PlanCommandDeployment.Find("--sweep-codecs", c, catalogue.Codecs))],
                    GoodputShare = result.GetValue(goodput) is { } share ? PlanCommandDeployment.Number("--goodput", share, 0.9, 0.01, 1) : null,
                };
                bool toOutput = result.GetResult(json) is { Implicit: false, Tokens.Count: 0 };
                return await MeasuringJob.RunAsync(result.GetValue(quiet) || toOutput, display => Task.Run(() => run.Run(display, cancellationToken), cancellationToken), summary =>
                {
                    string text = summary.ToJson();
                    if (toOutput) Console.WriteLine(text);
                    return [(result.GetValue(json), text), (MeasuringJob.In(result.GetValue(folder), "simulation.json"), text), (MeasuringJob.In(result.GetValue(folder), "simulation.html"), SimulationPage.Render(summary, run.Ceilings))];
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

    private static (string Name, IReadOnlyList<WorkloadRequest> Sizes) Sizes(string? trace, string workload, int tokens, int output, int? requests, ulong seed)
    {
        if (trace is not null)
        {
            string[] lines = PlanCommandDeployment.ReadFile("--trace", trace).Split('\n');
            return ($"trace {Path.GetFileName(trace)}", MooncakeTrace.Read(Path.GetFileName(trace), lines));
        }

        if (workload == Alike) return (string.Create(CultureInfo.InvariantCulture, $"prompts of {tokens} tokens, answers of {output}"), Workload.Alike(tokens, output));
        MooncakeTrace.Statistics statistics = MooncakeTrace.Published.First(p => p.Name == workload);
        return ($"requests drawn like Mooncake's {workload} trace", MooncakeTrace.Draw(statistics, requests is { } wanted ? Math.Max(wanted, 2) : null, seed));
    }

    private static IEnumerable<string> List(string? text) => text is null ? [] : text.Split(',').Distinct();

    private static long Tokens(string? text) => text switch
    {
        null or "none" => 0,
        "unlimited" => long.MaxValue,
        _ => (long)PlanCommandDeployment.Number("--prefix-cache", text, 0, 0, 1e15),
    };
}
