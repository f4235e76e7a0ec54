using System.Text.Json;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Checks a document against the part of JSON Schema that our schema uses; a keyword that it does not know is an error, not passed over.</summary>
internal static class SchemaCheck
{
    /// <summary>What is wrong, by path; empty when all is well.</summary>
    internal static IReadOnlyList<string> Errors(JsonElement schema, JsonElement value) => [.. Check(schema, schema, value, "$")];

    private static IEnumerable<string> Check(JsonElement root, JsonElement schema, JsonElement value, string path)
    {
        if (schema.ValueKind == JsonValueKind.True) yield break;
        foreach (JsonProperty keyword in schema.EnumerateObject())
        {
            switch (keyword.Name)
            {
                case "$schema" or "title" or "default" or "description":
                    break;
                case "$ref":
                    JsonElement target = root;
                    foreach (string part in keyword.Value.GetString()!.TrimStart('#').Split('/', StringSplitOptions.RemoveEmptyEntries)) target = target.GetProperty(part);
                    foreach (string error in Check(root, target, value, path)) yield return error;
                    break;
                case "const":
                    if (keyword.Value.GetRawText() != value.GetRawText()) yield return $"{path}: {value} is not {keyword.Value}";
                    break;
                case "type":
                    string[] types = keyword.Value.ValueKind == JsonValueKind.Array ? [.. keyword.Value.EnumerateArray().Select(t => t.GetString()!)] : [keyword.Value.GetString()!];
                    if (!types.Any(t => Is(t, value))) yield return $"{path}: {value.ValueKind} is not {string.Join(" or ", types)}";
                    break;
                case "properties" when value.ValueKind == JsonValueKind.Object:
                    foreach (JsonProperty property in keyword.Value.EnumerateObject())
                    {
                        if (!value.TryGetProperty(property.Name, out JsonElement member)) continue;
                        foreach (string error in Check(root, property.Value, member, $"{path}.{property.Name}")) yield return error;
                    }

                    break;
                case "properties" or "items" or "required" or "additionalProperties" when value.ValueKind == JsonValueKind.Null:
                    break;
                case "required":
                    foreach (JsonElement name in keyword.Value.EnumerateArray())
                    {
                        if (!value.TryGetProperty(name.GetString()!, out _)) yield return $"{path}: {name} is missing";
                    }

                    break;
                case "items":
                    foreach ((int i, JsonElement item) in value.EnumerateArray().Index())
                    {
                        foreach (string error in Check(root, keyword.Value, item, $"{path}[{i}]")) yield return error;
                    }

                    break;
                case "additionalProperties":
                    foreach (JsonProperty member in value.EnumerateObject())
                    {
                        foreach (string error in Check(root, keyword.Value, member.Value, $"{path}.{member.Name}")) yield return error;
                    }

                    break;
                default:
                    yield return $"{path}: the schema's keyword {keyword.Name} is not known to this check";
                    break;
            }
        }
    }

    private static bool Is(string type, JsonElement value) => type switch
    {
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "null" => value.ValueKind == JsonValueKind.Null,
        "integer" => value.ValueKind == JsonValueKind.Number && value.TryGetDecimal(out decimal number) && number == decimal.Truncate(number),
        "number" => value.ValueKind == JsonValueKind.Number,
        _ => false,
    };
}
