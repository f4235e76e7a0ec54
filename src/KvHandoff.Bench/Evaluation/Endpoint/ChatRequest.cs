using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>How requests are written.</summary>
/// <param name="Model">Name of the model.</param>
/// <param name="Stream">Ask for server-sent events.</param>
/// <param name="Temperature">Null: not sent.</param>
/// <param name="IncludeUsage">Ask for usage in a stream, which OpenAI leaves out otherwise.</param>
/// <param name="LimitField">Name under which the most tokens are asked for.</param>
internal sealed record ChatFormat(string Model, bool Stream, double? Temperature, bool IncludeUsage, string LimitField);

/// <summary>A prompt, ready to be sent any number of times.</summary>
internal sealed class ChatRequest
{
    private ChatRequest(string promptType, string text, int? maxCompletionTokens, byte[] body)
    {
        (PromptType, Text, MaxCompletionTokens, Body) = (promptType, text, maxCompletionTokens, body);
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        (TextBytes, Sha256) = (bytes.Length, Convert.ToHexStringLower(SHA256.HashData(bytes)));
    }

    internal string PromptType { get; }

    internal string Text { get; }

    internal int TextBytes { get; }

    internal string Sha256 { get; }

    internal int? MaxCompletionTokens { get; }

    /// <summary>The JSON body. Made once, so that writing it is part of no latency.</summary>
    internal byte[] Body { get; }

    internal static ChatRequest Create(ChatFormat format, string promptType, string text, int? maxCompletionTokens)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("model", format.Model);
            json.WriteStartArray("messages");
            json.WriteStartObject();
            json.WriteString("role", "user");
            json.WriteString("content", text);
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteBoolean("stream", format.Stream);
            if (format is { Stream: true, IncludeUsage: true })
            {
                json.WriteStartObject("stream_options");
                json.WriteBoolean("include_usage", true);
                json.WriteEndObject();
            }

            if (format.Temperature is { } temperature) json.WriteNumber("temperature", temperature);
            if (maxCompletionTokens is { } most) json.WriteNumber(format.LimitField, most);
            json.WriteEndObject();
        }

        return new ChatRequest(promptType, text, maxCompletionTokens, buffer.WrittenSpan.ToArray());
    }
}
