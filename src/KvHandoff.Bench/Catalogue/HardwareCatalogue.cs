using System.Globalization;

namespace KvHandoff.Bench.Catalogue;

/// <summary>Models, nodes, links and codecs with their sources: the shipped ones, and over them those of a user's own file.</summary>
internal sealed class HardwareCatalogue
{
    internal const string Schema = "kvhandoff.catalogue/1";

    private static readonly string[] Shipped = ["models.json", "hardware.json", "links.json", "codecs.json"];

    private readonly Dictionary<string, Accelerator> _accelerators = [];

    private HardwareCatalogue()
    {
    }

    internal Dictionary<string, ModelGeometry> Models { get; } = [];

    internal Dictionary<string, Node> Nodes { get; } = [];

    internal Dictionary<string, Link> Links { get; } = [];

    internal Dictionary<string, CodecFigures> Codecs { get; } = [];

    /// <summary>What ships with the program.</summary>
    internal static HardwareCatalogue Default()
    {
        var catalogue = new HardwareCatalogue();
        foreach (string file in Shipped)
        {
            using Stream stream = typeof(HardwareCatalogue).Assembly.GetManifestResourceStream($"KvHandoff.Bench.Catalogue.{file}") ?? throw new InvalidOperationException($"{file} is not in the program.");
            using var reader = new StreamReader(stream);
            catalogue.Add(file, reader.ReadToEnd());
        }

        return catalogue;
    }

    /// <summary>Adds a file's entries; one with a known name takes its place.</summary>
    /// <exception cref="InvalidDataException">A field is wrong; the message names file, field, value and what is allowed.</exception>
    internal void Add(string file, string json)
    {
        CatalogueFields root = CatalogueFields.Parse(file, json);
        root.Only("schema", "models", "accelerators", "nodes", "links", "codecs");
        root.Choice("schema", Schema);
        foreach (CatalogueFields f in root.Objects("models")) Add(ModelGeometry.Read(f));
        foreach (CatalogueFields f in root.Objects("accelerators")) Keep(_accelerators, Accelerator.Read(f), a => a.Name);
        foreach (CatalogueFields f in root.Objects("nodes")) Keep(Nodes, Node.Read(f, _accelerators.GetValueOrDefault), n => n.Name);
        foreach (CatalogueFields f in root.Objects("links")) Keep(Links, Link.Read(f), l => l.Name);
        foreach (CatalogueFields f in root.Objects("codecs")) Keep(Codecs, CodecFigures.Read(f), c => c.Name);
    }

    internal void Add(ModelGeometry model)
    {
        Models[model.Name] = model;
        foreach (string alias in model.Aliases) Models[alias] = model;
    }

    /// <summary>A link by name, or by a rate such as <c>100G</c>, <c>1.2T</c> or <c>3200</c> Gb/s.</summary>
    internal Link? FindLink(string text)
    {
        if (Links.TryGetValue(text, out Link? link)) return link;
        double unit = text.Length == 0 ? 0 : char.ToUpperInvariant(text[^1]) switch { 'T' => 1e12, 'G' => 1e9, 'M' => 1e6, _ => 0 };
        string digits = unit == 0 ? text : text[..^1];
        if (!double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) || value <= 0 || !double.IsFinite(value)) return null;
        double bits = value * (unit == 0 ? 1e9 : unit);
        return new Link(text, string.Create(CultureInfo.InvariantCulture, $"{bits / 1e9:0.###} Gb/s"), new Figure(bits, "given on the command line"), new Figure(1, "the line rate itself"),
            new Figure(10e-6, "aiconfigurator: point-to-point latency 10 us"), new Figure(double.PositiveInfinity, "not given; no limit is assumed"));
    }

    private static void Keep<T>(Dictionary<string, T> entries, T entry, Func<T, string> name) => entries[name(entry)] = entry;
}
