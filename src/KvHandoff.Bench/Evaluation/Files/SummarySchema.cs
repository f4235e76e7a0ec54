using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.Json.Serialization.Metadata;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>The JSON Schema of summary.json, made from the types that write it, so that the two cannot part.</summary>
internal static class SummarySchema
{
    /// <summary>As docs/evaluation.schema.json holds it.</summary>
    internal static string Render()
    {
        var options = new System.Text.Json.JsonSerializerOptions(Summary.Options) { TypeInfoResolver = new DefaultJsonTypeInfoResolver() };
        var schema = (JsonObject)options.GetJsonSchemaAsNode(typeof(EvaluationSummary), new JsonSchemaExporterOptions { TreatNullObliviousAsNonNullable = true });
        schema.Insert(0, "$schema", "https://json-schema.org/draft/2020-12/schema");
        schema.Insert(1, "title", "Result of the evaluate command");
        var properties = (JsonObject)schema["properties"]!;
        properties["schema"] = new JsonObject { ["const"] = Summary.CurrentSchema };
        properties["command"] = new JsonObject { ["const"] = EvaluationSummary.CommandName };
        ((JsonArray)schema["required"]!).Insert(0, "schema");
        ((JsonArray)schema["required"]!).Insert(1, "command");
        return schema.ToJsonString(options) + "\n";
    }
}
