using System.Text;
using System.Text.Json;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>Reads chunks and bodies of chat completions into an observation. Unknown members are passed over; wrong ones are as good as absent.</summary>
internal static class ReplyReader
{
    private const int SampleBytes = 120;

    /// <summary>Takes one event of a stream that arrived at <paramref name="ticks"/>.</summary>
    internal static void TakeEvent(ReplyObservation reply, string name, ReadOnlySpan<byte> data, long ticks)
    {
        if (reply.Error is not null || reply.IsDone) return;
        if (data.StartsWith("[DONE]"u8))
        {
            reply.IsDone = true;
            return;
        }

        reply.Chunks++;
        reply.FirstChunkTicks ??= ticks;
        if (!TryParse(data, out JsonDocument? document))
        {
            reply.Error = Malformed("An event of the stream is no JSON object", data);
            return;
        }

        using (document)
        {
            JsonElement root = document!.RootElement;
            if (TakeError(reply, root, name == "error")) return;
            TakeHead(reply, root);
            if (Choice(root) is not { } choice) return;
            reply.FinishReason = Text(choice, "finish_reason") ?? reply.FinishReason;
            // Completions (not chat) carry the text in the choice itself.
            JsonElement delta = choice.TryGetProperty("delta", out JsonElement d) && d.ValueKind == JsonValueKind.Object ? d : choice;
            (bool hasText, bool hasReasoning) = TakeText(reply, delta);
            if (!hasText && !hasReasoning) return;
            reply.ContentTicks.Add(ticks);
            if (!hasText) reply.ReasoningChunks++;
        }
    }

    /// <summary>Takes a whole reply that was not streamed.</summary>
    internal static void TakeBody(ReplyObservation reply, ReadOnlySpan<byte> body)
    {
        if (!TryParse(body, out JsonDocument? document))
        {
            reply.Error = Malformed("The reply is no JSON object", body);
            return;
        }

        using (document)
        {
            JsonElement root = document!.RootElement;
            if (TakeError(reply, root, false)) return;
            TakeHead(reply, root);
            if (Choice(root) is not { } choice)
            {
                reply.Error = Malformed("The reply has no choices", body);
                return;
            }

            reply.FinishReason = Text(choice, "finish_reason");
            TakeText(reply, choice.TryGetProperty("message", out JsonElement message) && message.ValueKind == JsonValueKind.Object ? message : choice);
            reply.IsDone = true;
        }
    }

    /// <summary>The start of some bytes, printable.</summary>
    internal static string Sample(ReadOnlySpan<byte> bytes)
    {
        string text = Encoding.UTF8.GetString(bytes[..Math.Min(bytes.Length, SampleBytes)]);
        return string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c)) + (bytes.Length > SampleBytes ? "..." : "");
    }

    private static bool TakeError(ReplyObservation reply, JsonElement root, bool isNamedError)
    {
        bool hasError = root.TryGetProperty("error", out JsonElement error) && error.ValueKind is JsonValueKind.Object or JsonValueKind.String;
        if (!hasError && !isNamedError) return false;
        reply.ErrorStatus = (int?)Whole(root, "status_code");
        reply.Error = ErrorBody.Describe(root, reply.ErrorStatus, "error in the stream");
        return true;
    }

    private static void TakeHead(ReplyObservation reply, JsonElement root)
    {
        reply.Id ??= Text(root, "id");
        reply.Model ??= Text(root, "model");
        reply.SystemFingerprint ??= Text(root, "system_fingerprint");
        if (root.TryGetProperty("usage", out JsonElement usage) && usage.ValueKind == JsonValueKind.Object)
        {
            reply.PromptTokens = Whole(usage, "prompt_tokens") ?? reply.PromptTokens;
            reply.CompletionTokens = Whole(usage, "completion_tokens") ?? reply.CompletionTokens;
            reply.TotalTokens = Whole(usage, "total_tokens") ?? reply.TotalTokens;
            if (Part(usage, "prompt_tokens_details") is { } prompt) reply.CachedTokens = Whole(prompt, "cached_tokens") ?? reply.CachedTokens;
            if (Part(usage, "completion_tokens_details") is { } completion) reply.ReasoningTokens = Whole(completion, "reasoning_tokens") ?? reply.ReasoningTokens;
            reply.HasUsage |= reply.CompletionTokens is not null;
        }

        if (Part(root, "time_info") is { } times) reply.Server = ServerReport.Times(times);
        if (Part(root, "kvhandoff") is { } handoff) reply.Handoff = ServerReport.Handoff(handoff);
    }

    private static (bool HasText, bool HasReasoning) TakeText(ReplyObservation reply, JsonElement from)
    {
        bool hasText = false, hasReasoning = false;
        foreach (string name in (ReadOnlySpan<string>)["content", "text", "refusal"])
        {
            if (Text(from, name) is not { Length: > 0 } text) continue;
            reply.AddText(text);
            hasText = true;
        }

        // One of the two names, by server; where both stand they say the same.
        if ((Text(from, "reasoning") is { Length: > 0 } r ? r : Text(from, "reasoning_content")) is { Length: > 0 } reasoning)
        {
            reply.AddReasoning(reasoning);
            hasReasoning = true;
        }

        if (from.TryGetProperty("tool_calls", out JsonElement calls) && calls.ValueKind == JsonValueKind.Array && calls.GetArrayLength() > 0)
        {
            reply.AddText(calls.GetRawText());
            hasText = true;
        }

        return (hasText, hasReasoning);
    }

    private static JsonElement? Choice(JsonElement root) =>
        root.TryGetProperty("choices", out JsonElement choices) && choices.ValueKind == JsonValueKind.Array && choices.GetArrayLength() > 0 && choices[0].ValueKind == JsonValueKind.Object ? choices[0] : null;

    private static JsonElement? Part(JsonElement from, string name) => from.TryGetProperty(name, out JsonElement part) && part.ValueKind == JsonValueKind.Object ? part : null;

    private static long? Whole(JsonElement from, string name) =>
        from.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= 0 ? number : null;

    private static string? Text(JsonElement from, string name)
    {
        if (!from.TryGetProperty(name, out JsonElement value) || value.ValueKind != JsonValueKind.String) return null;
        try
        {
            return value.GetString();
        }
        catch (InvalidOperationException)
        {
            // Half of a surrogate pair, written as an escape: no text, but content all the same.
            return value.GetRawText();
        }
    }

    private static bool TryParse(ReadOnlySpan<byte> data, out JsonDocument? document)
    {
        document = null;
        try
        {
            var reader = new Utf8JsonReader(data);
            document = JsonDocument.ParseValue(ref reader);
            if (document.RootElement.ValueKind == JsonValueKind.Object && reader.BytesConsumed >= data.TrimEnd((byte)' ').Length) return true;
            document.Dispose();
        }
        catch (JsonException)
        {
        }

        document = null;
        return false;
    }

    private static RequestError Malformed(string what, ReadOnlySpan<byte> data) => new() { Label = "malformed reply", Message = $"{what}; it begins: {Sample(data)}" };
}
