using System.Globalization;
using System.Text.Json;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>Reads the error bodies in use: <c>{"error":{...}}</c>, <c>{"error":"text"}</c> and the flat one of Cerebras' limits.</summary>
internal static class ErrorBody
{
    private const int MostText = 500;

    /// <summary>An HTTP reply that is no success.</summary>
    internal static RequestError Describe(ReadOnlySpan<byte> body, int status)
    {
        try
        {
            var reader = new Utf8JsonReader(body);
            using JsonDocument document = JsonDocument.ParseValue(ref reader);
            if (document.RootElement.ValueKind == JsonValueKind.Object) return Describe(document.RootElement, status, null);
        }
        catch (JsonException)
        {
        }

        return new RequestError { Label = Label(status, null, null), Status = status, Message = body.IsEmpty ? "no body" : ReplyReader.Sample(body) };
    }

    /// <summary>An error object, wrapped or flat.</summary>
    /// <param name="root">The object.</param>
    /// <param name="status">HTTP status, or the one that the object itself names.</param>
    /// <param name="where">Said in the label, where the error is no HTTP reply.</param>
    internal static RequestError Describe(JsonElement root, int? status, string? where)
    {
        JsonElement error = root.TryGetProperty("error", out JsonElement wrapped) && wrapped.ValueKind is JsonValueKind.Object or JsonValueKind.String ? wrapped : root;
        if (error.ValueKind == JsonValueKind.String) return new RequestError { Label = Label(status, null, where), Status = status, Message = Cut(Text(error) ?? "") };
        string? code = Member(error, "code"), type = Member(error, "type");
        return new RequestError { Label = Label(status, code ?? type, where), Status = status, Code = code, Type = type, Message = Cut(Member(error, "message") ?? Member(error, "detail") ?? error.GetRawText()) };
    }

    private static string Label(int? status, string? code, string? where) =>
        string.Join(' ', new[] { where, status?.ToString(CultureInfo.InvariantCulture), code }.Where(p => !string.IsNullOrEmpty(p))) is { Length: > 0 } label ? label : "error";

    private static string? Member(JsonElement from, string name) => from.TryGetProperty(name, out JsonElement value) ? value.ValueKind switch
    {
        JsonValueKind.String => Text(value) is { } text ? Cut(text) : null,
        JsonValueKind.Number => value.GetRawText(),
        _ => null,
    }
        : null;

    private static string? Text(JsonElement value)
    {
        try
        {
            return value.GetString();
        }
        catch (InvalidOperationException)
        {
            return value.GetRawText();
        }
    }

    private static string Cut(string text) => (text.Length <= MostText ? text : text[..MostText] + "...").ReplaceLineEndings(" ");
}
