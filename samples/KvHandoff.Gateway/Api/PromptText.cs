using System.Text;
using System.Text.Json;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Api;

/// <summary>
/// Turns a request into the tokens of its prompt. The model knows no roles: the contents of the messages are joined by a blank line, so that a
/// single message is the prompt as it is.
/// </summary>
internal static class PromptText
{
    private const string Between = "\n\n";
    private const int MaxMessages = 4096;

    /// <exception cref="ApiException">The messages are missing, empty or of a form that is not done.</exception>
    internal static int[] OfMessages(JsonElement body)
    {
        if (!CallParser.Has(body, "messages", out JsonElement messages)) throw new ApiException(ApiError.Missing("messages", "an array of messages with role and content"));
        if (messages.ValueKind != JsonValueKind.Array || messages.GetArrayLength() is 0 or > MaxMessages)
            throw new ApiException(ApiError.Wrong("messages", messages.ValueKind == JsonValueKind.Array ? $"an array of {messages.GetArrayLength()}" : CallParser.Kind(messages), $"an array of 1 to {MaxMessages} messages"));
        var text = new StringBuilder();
        int index = 0;
        foreach (JsonElement message in messages.EnumerateArray())
        {
            string field = $"messages[{index}]";
            if (message.ValueKind != JsonValueKind.Object) throw new ApiException(ApiError.Wrong(field, CallParser.Kind(message), "an object with role and content"));
            if (!CallParser.Has(message, "role", out JsonElement role) || role.ValueKind != JsonValueKind.String || role.GetString() is not ("system" or "developer" or "user" or "assistant" or "tool"))
                throw new ApiException(ApiError.Wrong(field + ".role", role.ValueKind == JsonValueKind.Undefined ? "nothing" : role.GetRawText(), "system, developer, user, assistant, tool"));
            if (index++ > 0) text.Append(Between);
            AppendContent(text, message, field + ".content", mayBeNull: role.ValueEquals("assistant"));
        }

        return Tokens(text.ToString(), "messages");
    }

    /// <summary>A string, an array of one string, tokens, or an array of one array of tokens.</summary>
    /// <exception cref="ApiException">The prompt is missing, empty or of a form that is not done.</exception>
    internal static int[] OfPrompt(JsonElement body)
    {
        if (!CallParser.Has(body, "prompt", out JsonElement prompt)) throw new ApiException(ApiError.Missing("prompt", "a string, or an array of tokens"));
        if (prompt.ValueKind == JsonValueKind.Array && prompt.GetArrayLength() > 0 && prompt[0].ValueKind is JsonValueKind.String or JsonValueKind.Array)
        {
            if (prompt.GetArrayLength() > 1) throw new ApiException(ApiError.Unsupported("prompt", $"it has {prompt.GetArrayLength()} prompts; allowed: 1."));
            prompt = prompt[0];
        }

        if (prompt.ValueKind == JsonValueKind.String) return Tokens(prompt.GetString()!, "prompt");
        if (prompt.ValueKind != JsonValueKind.Array || prompt.GetArrayLength() == 0) throw new ApiException(ApiError.Wrong("prompt", prompt.ValueKind == JsonValueKind.Array ? "an empty array" : CallParser.Kind(prompt), "a string, or an array of tokens"));
        var tokens = new int[prompt.GetArrayLength()];
        int at = 0;
        foreach (JsonElement token in prompt.EnumerateArray())
        {
            if (token.ValueKind != JsonValueKind.Number || !token.TryGetInt32(out tokens[at]) || tokens[at] is < 0 or >= ByteTokenizer.VocabularySize)
                throw new ApiException(ApiError.Wrong($"prompt[{at}]", token.GetRawText(), $"tokens from 0 to {ByteTokenizer.VocabularySize - 1}"));
            at++;
        }

        return tokens;
    }

    private static void AppendContent(StringBuilder text, JsonElement message, string field, bool mayBeNull)
    {
        if (!CallParser.Has(message, "content", out JsonElement content))
        {
            if (!mayBeNull) throw new ApiException(ApiError.Missing(field, "a string, or an array of text parts"));
            return;
        }

        if (content.ValueKind == JsonValueKind.String)
        {
            text.Append(content.GetString());
            return;
        }

        if (content.ValueKind != JsonValueKind.Array) throw new ApiException(ApiError.Wrong(field, CallParser.Kind(content), "a string, or an array of text parts"));
        foreach (JsonElement part in content.EnumerateArray())
        {
            if (part.ValueKind != JsonValueKind.Object || !part.TryGetProperty("type", out JsonElement type) || type.ValueKind != JsonValueKind.String) throw new ApiException(ApiError.Wrong(field, CallParser.Kind(part), "parts with a type"));
            if (!type.ValueEquals("text")) throw new ApiException(ApiError.Unsupported(field, $"a part is of type {type.GetRawText()}; allowed: text."));
            if (!CallParser.Has(part, "text", out JsonElement value) || value.ValueKind != JsonValueKind.String) throw new ApiException(ApiError.Wrong(field, "a text part without text", "parts of type text with a string text"));
            text.Append(value.GetString());
        }
    }

    private static int[] Tokens(string text, string field)
    {
        int[] tokens = ByteTokenizer.Encode(text);
        return tokens.Length > 0 ? tokens : throw new ApiException(ApiError.Wrong(field, "an empty prompt", "1 token or more"));
    }
}
