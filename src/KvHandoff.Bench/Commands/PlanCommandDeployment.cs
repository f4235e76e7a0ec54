using System.CommandLine;
using System.Globalization;
using KvHandoff.Bench.Calibration;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The arguments that <c>plan</c> and <c>simulate</c> share: who prefills, who decodes, and what lies between.</summary>
/// <param name="defaultLink">Where none is given.</param>
internal sealed class PlanCommandDeployment(string defaultLink)
{
    private const string Names = "a name of the catalogue; plan --list shows all";

    private static readonly string[] Precisions = ["bf16", "fp8", "int4"];

    private readonly Option<string?> _model = Text("--model", $"Whose cache: {Names}; or the path of a Hugging Face config.json. Default llama-3.3-70b."),
        _prefill = Text("--prefill", $"Node that prefills: {Names}. Default trn3-16."),
        _decode = Text("--decode", $"Node that decodes: {Names}. Default cs3-4."),
        _link = Text("--link", $"Link between them: {Names}, or a rate such as 100G, 1.2T, 3200. Default {defaultLink}."),
        _codec = Text("--codec", $"How K and V travel: {Names}. Default raw."),
        _stall = Text("--stall-us", "Microseconds that publishing one unit costs prefill itself; default 0."),
        _cached = Text("--cached", "Share of the prompt that the decode side holds already, 0 to 0.99; default 0."),
        _catalogue = ArgumentRules.File("--catalogue", "Your own models, nodes, links, codecs, over the shipped ones; format in docs/cost-model.md."),
        _rates = ArgumentRules.File("--rates", "Codec rates from a kernels.json of this machine (kernels --quick --json FILE)."),
        _kv = ArgumentRules.Choice("--kv", "Element of K and V in both caches; default bf16.", "bf16", "fp8"),
        _prefillPrecision = ArgumentRules.Choice("--prefill-precision", "Number format of prefill's matrix products; default fp8.", "bf16", "fp8"),
        _weights = ArgumentRules.Choice("--weights", "Number format of the weights in decode memory; default bf16.", Precisions);

    private readonly Option<int?> _codecCores = ArgumentRules.Number("--codec-cores", "Cores a side that encode or decode; default 1.", 1, 4096),
        _message = ArgumentRules.Number("--message-kib", "KiB of the messages that a unit is cut into, which a link's message rate limits; default one message per unit.", 1, 1 << 30),
        _units = ArgumentRules.Number("--units", "Units that a prompt is sent in; default one per layer, 1 sends it after prefill.", 1, 1_000_000);

    internal IEnumerable<Option> Options => [_model, _prefill, _decode, _link, _codec, _codecCores, _kv, _prefillPrecision, _weights, _units, _message, _stall, _cached, _catalogue, _rates];

    /// <summary>An option of any text; what it says is looked at later, when the catalogue is known.</summary>
    internal static Option<string?> Text(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.ExactlyOne };

    /// <summary>Shipped figures, then the user's, then measured rates.</summary>
    /// <exception cref="InvalidDataException">A file cannot be used; the message is what to show.</exception>
    internal HardwareCatalogue Catalogue(ParseResult result)
    {
        HardwareCatalogue catalogue = HardwareCatalogue.Default();
        if (result.GetValue(_catalogue) is { } file) catalogue.Add(file, ReadFile("--catalogue", file));
        if (result.GetValue(_rates) is { } rates)
        {
            string json = ReadFile("--rates", rates);
            if (CodecRates.Apply(catalogue, KernelSummary.FromJson(json), $"measured: {Path.GetFileName(rates)}, one core").Count == 0)
                throw new InvalidDataException($"--rates: '{rates}' is not allowed: it has no codec's kernels; allowed: what kernels --quick --json writes");
        }

        return catalogue;
    }

    /// <exception cref="InvalidDataException">An argument names what does not exist; the message names it, and what is allowed.</exception>
    internal Deployment Read(ParseResult result, HardwareCatalogue catalogue)
    {
        string linkName = result.GetValue(_link) ?? defaultLink, codecName = result.GetValue(_codec) ?? "raw";
        if (result.GetValue(_kv) == "fp8" && codecName is ("fp8" or "int8")) throw NotAllowed("--codec", codecName, "with --kv fp8, whose elements have 8 bits already: raw, or a lossless codec");
        return new Deployment
        {
            Model = Model(result.GetValue(_model) ?? "llama-3.3-70b", catalogue),
            ElementBytes = result.GetValue(_kv) == "fp8" ? KvSize.Fp8Bytes : KvSize.Bf16Bytes,
            Prefill = Find("--prefill", result.GetValue(_prefill) ?? "trn3-16", catalogue.Nodes),
            PrefillPrecision = Parse(result.GetValue(_prefillPrecision) ?? "fp8"),
            Decode = Find("--decode", result.GetValue(_decode) ?? "cs3-4", catalogue.Nodes),
            WeightPrecision = Parse(result.GetValue(_weights) ?? "bf16"),
            Link = FindLink("--link", linkName, catalogue),
            Codec = Find("--codec", codecName, catalogue.Codecs),
            CodecCores = result.GetValue(_codecCores) ?? 1,
            Units = result.GetValue(_units),
            MessageBytes = result.GetValue(_message) is { } kibibytes ? kibibytes * 1024.0 : double.PositiveInfinity,
            StallSeconds = Number("--stall-us", result.GetValue(_stall), 0, 0, 1e6) / 1e6,
            CachedShare = Number("--cached", result.GetValue(_cached), 0, 0, 0.99),
        };
    }

    internal static Precision Parse(string text) => text switch { "fp8" => Precision.Fp8, "int4" => Precision.Int4, _ => Precision.Bf16 };

    /// <summary>An entry of the catalogue.</summary>
    /// <exception cref="InvalidDataException">There is none of that name.</exception>
    internal static T Find<T>(string argument, string name, IReadOnlyDictionary<string, T> entries) => entries.TryGetValue(name, out T? entry) ? entry : throw NotAllowed(argument, name, string.Join(", ", entries.Keys));

    /// <summary>A link of the catalogue, or one of any rate.</summary>
    /// <exception cref="InvalidDataException">It is neither.</exception>
    internal static Link FindLink(string argument, string name, HardwareCatalogue catalogue) =>
        catalogue.FindLink(name) ?? throw NotAllowed(argument, name, $"a rate such as 100G or 1.2T, or one of {string.Join(", ", catalogue.Links.Keys)}");

    /// <summary>A number in a range.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    internal static double Number(string argument, string? text, double otherwise, double low, double high)
    {
        if (text is null) return otherwise;
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value >= low && value <= high ? value
            : throw NotAllowed(argument, text, string.Create(CultureInfo.InvariantCulture, $"a number from {low} to {high}"));
    }

    internal static InvalidDataException NotAllowed(string argument, string value, string allowed) => new($"{argument}: '{value}' is not allowed; allowed: {allowed}");

    /// <exception cref="InvalidDataException">There is no such file, or it cannot be read.</exception>
    internal static string ReadFile(string argument, string path)
    {
        if (!File.Exists(path)) throw NotAllowed(argument, path, "the path of a file that exists");
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw NotAllowed(argument, path, $"a file that can be read ({e.Message})");
        }
    }

    private static ModelGeometry Model(string name, HardwareCatalogue catalogue)
    {
        if (catalogue.Models.TryGetValue(name, out ModelGeometry? model)) return model;
        string file = Directory.Exists(name) ? Path.Combine(name, "config.json") : name;
        if (!File.Exists(file)) throw NotAllowed("--model", name, $"the path of a config.json, or one of {string.Join(", ", catalogue.Models.Keys)}");
        model = HuggingFaceConfig.Read(file, ReadFile("--model", file));
        catalogue.Add(model);
        return model;
    }
}
