using System.Text.Encodings.Web;
using System.Text.Json;

namespace KvHandoff.Gateway.Api;

/// <summary>How this API reads and writes JSON.</summary>
internal static class ApiJson
{
    /// <summary>Text is written as it is; the replies are application/json and never part of a page.</summary>
    internal static JsonWriterOptions WriterOptions { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = false };

    internal static JsonDocumentOptions ReaderOptions { get; } = new() { MaxDepth = 32 };

    internal const string ContentType = "application/json; charset=utf-8";
}
