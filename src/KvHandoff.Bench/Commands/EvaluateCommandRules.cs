using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Commands;

/// <summary>What of the options of <c>evaluate</c> goes together, and how their texts are read.</summary>
internal static class EvaluateCommandRules
{
    private const int MostLoads = 64;

    /// <summary>What would be ignored is refused.</summary>
    internal static void Add(Command command, Option[] loads, Option[] traceOnly, Option trace, Option iterations, (Option Slo, Option Share) objectives, Option seedCompat, Option[] notSeedCompat, Option baseline, Option temperature, Option fresh)
    {
        command.Validators.Add(result =>
        {
            bool Given(Option option) => result.GetResult(option) is { Implicit: false };
            string Value(Option option) => result.GetResult(option)?.Tokens.FirstOrDefault()?.Value ?? "";
            Option[] given = [.. loads.Where(Given)];
            if (given.Length > 1) result.AddError($"{given[1].Name}: '{Value(given[1])}' is not allowed with {given[0].Name}; allowed: one of {string.Join(", ", loads.Select(l => l.Name))}");
            if (!Given(trace) && traceOnly.FirstOrDefault(Given) is { } stray) result.AddError($"{stray.Name}: '{Value(stray)}' is not allowed without --trace; allowed: --trace, or leave it out");
            if (Given(trace) && Given(iterations)) result.AddError($"--iterations: '{Value(iterations)}' is not allowed with --trace, which has its own requests; allowed: --max-requests");
            if (Given(trace) && Given(fresh)) result.AddError($"{fresh.Name}: '{Value(fresh)}' is not allowed with --trace, whose texts are its own; allowed: one of the two");
            if (Given(objectives.Share) && !Given(objectives.Slo)) result.AddError($"--slo-share: '{Value(objectives.Share)}' is not allowed without --slo; allowed: objectives such as --slo ttft:200ms");
            if (Given(seedCompat) && notSeedCompat.FirstOrDefault(Given) is { } other) result.AddError($"{other.Name}: '{Value(other)}' is not allowed with --seed-compat, which does as the study did; allowed: one of the two");
            if (Given(baseline) && Given(temperature) && Value(temperature) is not ("0" or "0.0")) result.AddError($"--temperature: '{Value(temperature)}' is not allowed with --disaggregated-baseline, which compares texts; allowed: 0");
        });
    }

    /// <exception cref="InvalidDataException">A value is wrong.</exception>
    internal static IReadOnlyList<LoadSpec> Loads(string? concurrency, string? rate, string? trace, string? traceSpeed, int maxRequests, int? maxInput, int mostLanes)
    {
        if (rate is not null) return [.. Several("--rate", rate).Select(r => LoadSpec.OfRate(PlanCommandDeployment.Number("--rate", r, 1, 1e-3, 1e5)))];
        if (trace is null) return [.. Several("--concurrency", concurrency ?? "1").Select(c => LoadSpec.OfConcurrency(Lanes(c, mostLanes)))];
        double speed = PlanCommandDeployment.Number("--trace-speed", traceSpeed, 1, 1e-3, 1e6);
        WorkloadRequest[] rows = MooncakeTrace.Read(Path.GetFileName(trace), PlanCommandDeployment.ReadFile("--trace", trace).Split('\n'));
        return [LoadSpec.OfTrace(trace, [.. rows.Take(maxRequests).Select(r => maxInput is { } most && r.PromptTokens > most ? r with { PromptTokens = most } : r)], speed)];
    }

    /// <summary>0 where nothing is said, null for none.</summary>
    internal static double? Temperature(string? text) => text == "none" ? null : PlanCommandDeployment.Number("--temperature", text, 0, 0, 2);

    /// <summary>A time with its unit.</summary>
    internal static TimeSpan Time(string option, string? text, double otherwise)
    {
        const double Most = 86_400;
        if (text is null) return TimeSpan.FromSeconds(otherwise);
        return RateLimitHeaders.ParseDuration(text) is > 0 and <= Most and double seconds ? TimeSpan.FromSeconds(seconds) : throw new InvalidDataException($"{option}: '{text}' is not allowed; allowed: a time above 0 and up to 24h, such as 30s or 500ms; without a unit seconds");
    }

    private static int Lanes(string text, int most) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int lanes) && lanes >= 1 && lanes <= most ? lanes : throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"--concurrency: '{text}' is not allowed; allowed: whole numbers from 1 to {most}, separated by commas"));

    private static string[] Several(string option, string text)
    {
        string[] parts = text.Split(',');
        return parts.Length <= MostLoads && parts.Distinct().Count() == parts.Length ? parts : throw new InvalidDataException($"{option}: '{text}' is not allowed; allowed: up to {MostLoads} values, each once, separated by commas");
    }
}
