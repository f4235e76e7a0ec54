using System.Globalization;
using System.Text.Json;

namespace KvHandoff.Bench.Catalogue;

/// <summary>
/// One object of a catalogue file, read field by field: every refusal names the file, the field, its value, and what is allowed.
/// </summary>
internal sealed class CatalogueFields
{
    private const int LongestShown = 60;

    private readonly string _file, _path;
    private readonly JsonElement _element;

    /// <param name="file">For messages.</param>
    /// <param name="path">Of the object within the file, such as <c>models[2]</c>; empty for the whole.</param>
    /// <param name="element">What stands there.</param>
    /// <exception cref="InvalidDataException">It is no object.</exception>
    internal CatalogueFields(string file, string path, JsonElement element)
    {
        (_file, _path, _element) = (file, path, element);
        if (element.ValueKind != JsonValueKind.Object) throw Refused(path, Shown(element), "an object");
    }

    /// <summary>Reads a whole file.</summary>
    /// <exception cref="InvalidDataException">It is no JSON object; the message has the line.</exception>
    internal static CatalogueFields Parse(string file, string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            return new CatalogueFields(file, "", document.RootElement.Clone());
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{file}: line {e.LineNumber + 1}: no JSON: {e.Message.ReplaceLineEndings(" ")}");
        }
    }

    internal bool Has(string name) => _element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>Refuses fields of other names: a misspelt one would otherwise be a silent default.</summary>
    internal void Only(params IReadOnlyList<string> names)
    {
        foreach (JsonProperty property in _element.EnumerateObject())
        {
            if (!names.Contains(property.Name)) throw Refused(At(property.Name), Shown(property.Value), $"one of the fields {string.Join(", ", names)}");
        }
    }

    internal CatalogueFields Object(string name) => new(_file, At(name), Required(name, "an object"));

    internal IEnumerable<CatalogueFields> Objects(string name)
    {
        if (!Has(name)) yield break;
        JsonElement array = _element.GetProperty(name);
        if (array.ValueKind != JsonValueKind.Array) throw Refused(At(name), Shown(array), "a list of objects");
        int i = 0;
        foreach (JsonElement element in array.EnumerateArray()) yield return new CatalogueFields(_file, string.Create(CultureInfo.InvariantCulture, $"{At(name)}[{i++}]"), element);
    }

    internal IReadOnlyList<string> Texts(string name)
    {
        if (!Has(name)) return [];
        JsonElement array = _element.GetProperty(name);
        if (array.ValueKind != JsonValueKind.Array || array.EnumerateArray().Any(e => e.ValueKind != JsonValueKind.String)) throw Refused(At(name), Shown(array), "a list of texts");
        return [.. array.EnumerateArray().Select(e => e.GetString()!)];
    }

    internal string Text(string name)
    {
        JsonElement value = Required(name, "a text");
        if (value.ValueKind != JsonValueKind.String || value.GetString()!.Trim().Length == 0) throw Refused(At(name), Shown(value), "a text that is not empty");
        return value.GetString()!;
    }

    internal string Choice(string name, params IReadOnlyList<string> allowed)
    {
        JsonElement value = Required(name, string.Join(", ", allowed));
        if (value.ValueKind != JsonValueKind.String || !allowed.Contains(value.GetString()!)) throw Refused(At(name), Shown(value), string.Join(", ", allowed));
        return value.GetString()!;
    }

    internal bool Flag(string name)
    {
        JsonElement value = Required(name, "true or false");
        if (value.ValueKind is not (JsonValueKind.True or JsonValueKind.False)) throw Refused(At(name), Shown(value), "true or false");
        return value.GetBoolean();
    }

    internal int Whole(string name, int low, int high, int? otherwise = null)
    {
        if (otherwise is { } value && !Has(name)) return value;
        return (int)Number(name, low, high, true);
    }

    internal double Number(string name, double low, double high, bool whole = false)
    {
        string allowed = string.Create(CultureInfo.InvariantCulture, $"a {(whole ? "whole " : "")}number from {low} to {high}");
        JsonElement element = Required(name, allowed);
        if (element.ValueKind != JsonValueKind.Number || !element.TryGetDouble(out double value) || !double.IsFinite(value) || value < low || value > high || (whole && value != Math.Floor(value)))
            throw Refused(At(name), Shown(element), allowed);
        return value;
    }

    /// <summary>An object with <c>value</c> and <c>source</c>.</summary>
    internal Figure Figure(string name, double low, double high)
    {
        if (Required(name, "an object with value and source") is { ValueKind: not JsonValueKind.Object } bare) throw Refused(At(name), Shown(bare), "an object with value and source");
        CatalogueFields fields = Object(name);
        fields.Only("value", "source");
        return new Figure(fields.Number("value", low, high), fields.Text("source"));
    }

    internal InvalidDataException Refused(string field, string value, string allowed) =>
        new($"{_file}: {(field.Length == 0 ? "the whole" : $"field '{field}'")} is {value}; allowed: {allowed}");

    internal string At(string name) => _path.Length == 0 ? name : $"{_path}.{name}";

    private JsonElement Required(string name, string allowed) => Has(name) ? _element.GetProperty(name) : throw Refused(At(name), "missing", allowed);

    private static string Shown(JsonElement value)
    {
        string text = value.GetRawText().ReplaceLineEndings(" ");
        return text.Length <= LongestShown ? text : text[..LongestShown] + "...";
    }
}
