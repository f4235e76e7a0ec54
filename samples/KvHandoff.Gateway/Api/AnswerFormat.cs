using System.Text.Json;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary>The JSON of one answer, whole and in chunks, of both completion paths.</summary>
internal sealed class AnswerFormat(bool isChat, string id, string model, string fingerprint, long created)
{
    /// <summary>Seconds since 1970 when the answer was begun.</summary>
    internal long Created => created;

    /// <summary>The first chunk of a chat: who speaks.</summary>
    internal void WriteRole(Utf8JsonWriter json) => WriteChunk(json, null, null, isRole: true);

    internal void WriteText(Utf8JsonWriter json, string text) => WriteChunk(json, text, null, isRole: false);

    internal void WriteFinish(Utf8JsonWriter json, string reason) => WriteChunk(json, isChat ? null : "", reason, isRole: false);

    /// <summary>The last chunk: no choice, what it took.</summary>
    internal void WriteUsage(Utf8JsonWriter json, RequestAccount account, TimeInfo time)
    {
        WriteHead(json, isChunk: true);
        json.WriteStartArray("choices");
        json.WriteEndArray();
        WriteUsageAndTime(json, account, time);
        json.WriteEndObject();
    }

    /// <summary>The whole answer.</summary>
    internal void WriteWhole(Utf8JsonWriter json, string text, string reason, RequestAccount account, TimeInfo time)
    {
        WriteHead(json, isChunk: false);
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", 0);
        if (isChat)
        {
            json.WriteStartObject("message");
            json.WriteString("role", "assistant");
            json.WriteString("content", text);
            json.WriteEndObject();
        }
        else
        {
            json.WriteString("text", text);
        }

        json.WriteNull("logprobs");
        json.WriteString("finish_reason", reason);
        json.WriteEndObject();
        json.WriteEndArray();
        WriteUsageAndTime(json, account, time);
        json.WriteEndObject();
    }

    private void WriteChunk(Utf8JsonWriter json, string? text, string? finishReason, bool isRole)
    {
        WriteHead(json, isChunk: true);
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", 0);
        if (isChat)
        {
            json.WriteStartObject("delta");
            if (isRole)
            {
                json.WriteString("role", "assistant");
                json.WriteString("content", "");
            }

            if (text is not null) json.WriteString("content", text);
            json.WriteEndObject();
        }
        else
        {
            json.WriteString("text", text);
        }

        json.WriteNull("logprobs");
        json.WriteString("finish_reason", finishReason);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void WriteHead(Utf8JsonWriter json, bool isChunk)
    {
        json.WriteStartObject();
        json.WriteString("id", id);
        json.WriteString("object", isChat ? isChunk ? "chat.completion.chunk" : "chat.completion" : "text_completion");
        json.WriteNumber("created", created);
        json.WriteString("model", model);
        json.WriteString("system_fingerprint", fingerprint);
    }

    private static void WriteUsageAndTime(Utf8JsonWriter json, RequestAccount account, TimeInfo time)
    {
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", account.PromptTokens);
        json.WriteNumber("completion_tokens", account.CompletionTokens);
        json.WriteNumber("total_tokens", account.PromptTokens + account.CompletionTokens);
        json.WriteStartObject("prompt_tokens_details");
        json.WriteNumber("cached_tokens", account.CachedTokens);
        json.WriteEndObject();
        json.WriteStartObject("completion_tokens_details");
        json.WriteNumber("accepted_prediction_tokens", 0);
        json.WriteNumber("rejected_prediction_tokens", 0);
        json.WriteNumber("reasoning_tokens", 0);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WritePropertyName("time_info");
        JsonSerializer.Serialize(json, time);
        WriteHandoff(json, account);
    }

    // What only this server has: clients keep fields that they do not know.
    private static void WriteHandoff(Utf8JsonWriter json, RequestAccount account)
    {
        json.WriteStartObject("kvhandoff");
        json.WriteString("route", account.Route);
        json.WriteString("decode_worker", account.DecodeWorker);
        json.WriteNumber("attempts", account.Attempts);
        json.WriteNumber("preemptions", account.Preemptions);
        json.WriteNumber("first_step_time", account.Finished!.FirstStepSeconds);
        json.WriteNumber("first_token_time", account.FirstTokenSeconds);
        if (account.Prefill is { } prefill)
        {
            json.WriteString("prefill_worker", account.PrefillWorker);
            json.WriteString("handoff_id", account.HandoffId);
            json.WriteNumber("kv_bytes", prefill.KvBytes);
            json.WriteNumber("wire_bytes", prefill.WireBytes);
            json.WriteNumber("exposed_time", prefill.ExposedSeconds);
            json.WriteStartObject("phases");
            foreach ((string name, double seconds) in prefill.Phases) json.WriteNumber(name, seconds);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }
}
