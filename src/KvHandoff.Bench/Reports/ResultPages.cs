using System.Text.Json;
using KvHandoff.Bench.Calibration;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.Commands;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Evaluation;

namespace KvHandoff.Bench.Reports;

/// <summary>Results read back from their files, by the command that each of them names, and the pages that they give together.</summary>
internal sealed record ResultPages
{
    // Files come from anywhere: a null where the model has none is refused here, not stumbled over later.
    private static readonly JsonSerializerOptions Strict = new(Summary.Options) { RespectNullableAnnotations = true };

    private static readonly string[] Known = [EvaluationSummary.CommandName, "handoff", "kernels", "plan", "simulate"];

    internal EvaluationSummary? Evaluation { get; private init; }

    internal Summary? Handoff { get; private init; }

    internal KernelSummary? Kernels { get; private init; }

    internal PlanSummary? Plan { get; private init; }

    internal SimulationSummary? Simulation { get; private init; }

    /// <summary>The command that wrote a result.</summary>
    /// <exception cref="InvalidDataException">It is no result of this program.</exception>
    internal static string CommandOf(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            string? schema = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("schema", out JsonElement s) && s.ValueKind == JsonValueKind.String ? s.GetString() : null;
            if (schema != Summary.CurrentSchema) throw new InvalidDataException($"its schema is '{schema}'; expected '{Summary.CurrentSchema}'.");
            // The first summaries of the main job did not name it.
            return root.TryGetProperty("command", out JsonElement command) && command.ValueKind == JsonValueKind.String ? command.GetString()! : "handoff";
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"it is no JSON: {e.Message}");
        }
    }

    /// <summary>With one more result.</summary>
    /// <exception cref="InvalidDataException">It cannot be read, there is one of its kind already, or nothing makes a page of it.</exception>
    internal ResultPages With(string json)
    {
        string command = CommandOf(json);
        bool isTaken = command switch { EvaluationSummary.CommandName => Evaluation is not null, "handoff" => Handoff is not null, "kernels" => Kernels is not null, "plan" => Plan is not null, "simulate" => Simulation is not null, _ => false };
        if (isTaken) throw new InvalidDataException($"it is a second result of '{command}'; one page shows one of a kind, and compare overlays several.");
        return command switch
        {
            EvaluationSummary.CommandName => this with { Evaluation = Read(json, EvaluationSummary.FromJson) },
            "handoff" => this with { Handoff = Read(json, Summary.FromJson) },
            "kernels" => this with { Kernels = Read(json, KernelSummary.FromJson) },
            "plan" => this with { Plan = Read(json, Parse<PlanSummary>) },
            "simulate" => this with { Simulation = Read(json, Parse<SimulationSummary>) },
            _ => throw new InvalidDataException($"it is of the command '{command}'; pages are made of {string.Join(", ", Known)}."),
        };
    }

    /// <summary>Writes the pages; what belongs to a larger page is shown there alone. Returns their paths.</summary>
    internal IEnumerable<string> Write(string directory)
    {
        Directory.CreateDirectory(directory);
        var pages = new List<string>();
        void Page(string name, string html)
        {
            string path = Path.Combine(directory, name);
            File.WriteAllText(path, html);
            pages.Add(path);
        }

        if (Evaluation is { } evaluation)
        {
            EvaluationReport.Write(evaluation, directory, Handoff, Kernels);
            pages.Add(Path.Combine(directory, "report.html"));
        }
        else if (Handoff is { } handoff) Page("report.html", HtmlReport.Render(handoff, Kernels));
        else if (Kernels is { } kernels) Page("kernels.html", HtmlReport.Render(kernels));
        if (Plan is { } plan) Page("plan.html", PlanPage.Render(plan, RunOf(plan)));
        if (Simulation is { } simulation) Page("simulation.html", SimulationPage.Render(simulation, new Saturation(simulation.Ceilings.PrefillNode, simulation.Ceilings.Link, simulation.Ceilings.Memory, simulation.Ceilings.Decode)));
        return pages;
    }

    /// <summary>A result, once it is known to have everything that its type promises.</summary>
    /// <exception cref="InvalidDataException">It has not.</exception>
    internal static T Read<T>(string json, Func<string, T> read)
    {
        try
        {
            _ = JsonSerializer.Deserialize<T>(json, Strict);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"it cannot be read: {e.Message}");
        }

        return read(json);
    }

    private static T Parse<T>(string json) => JsonSerializer.Deserialize<T>(json, Summary.Options)!;

    // Curves are computed anew from the inputs; what came from files of the user's is not in the result.
    private static PlanRun RunOf(PlanSummary s)
    {
        HardwareCatalogue catalogue = HardwareCatalogue.Default();
        foreach (CalibrationFitRow fit in s.Calibration?.Fits ?? []) catalogue.Links[fit.Transport] = SweepCalibration.Link(fit, s.Calibration!.File);
        PlanInputs i = s.Inputs;
        return new PlanRun(new Deployment
        {
            Model = Entry("model", i.Model, catalogue.Models),
            ElementBytes = i.Element == "fp8" ? KvSize.Fp8Bytes : KvSize.Bf16Bytes,
            Prefill = Entry("prefill node", i.Prefill, catalogue.Nodes),
            PrefillPrecision = PlanCommandDeployment.Parse(i.PrefillPrecision),
            Decode = Entry("decode node", i.Decode, catalogue.Nodes),
            WeightPrecision = PlanCommandDeployment.Parse(i.WeightPrecision),
            Link = catalogue.FindLink(i.Link) ?? throw Missing("link", i.Link),
            Codec = Entry("codec", i.Codec, catalogue.Codecs),
            CodecCores = i.CodecCores,
            Units = i.Units,
            MessageBytes = i.MessageBytes ?? double.PositiveInfinity,
            StallSeconds = i.StallSeconds,
            CachedShare = i.CachedShare,
        }, Entry("colocated node", i.Colocated, catalogue.Nodes), PlanCommandDeployment.Parse(i.PrefillPrecision), i.Tokens, i.OutputTokens, catalogue);
    }

    private static T Entry<T>(string what, string name, IReadOnlyDictionary<string, T> entries) => entries.TryGetValue(name, out T? entry) ? entry : throw Missing(what, name);

    private static InvalidDataException Missing(string what, string name) => new($"its {what} '{name}' is not in the shipped catalogue, and the file it came from is not part of the result: run plan again with --output.");
}
