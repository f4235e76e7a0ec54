using System.Text.Json;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Api;

/// <summary>Reads the body of <c>/v1/chat/completions</c> and <c>/v1/completions</c>. Fields that it does not know are ignored.</summary>
internal static class CallParser
{
    private const int MaxStops = 4, MaxStopBytes = 256;
    private const double MaxTemperature = 2;

    // Fields that would change the answer, and the values that do not.
    private static readonly (string Field, Func<JsonElement, bool> IsHarmless, string Allowed)[] NotDone =
    [
        ("tools", IsEmpty, "none"), ("functions", IsEmpty, "none"), ("logprobs", v => v.ValueKind == JsonValueKind.False || IsNumber(v, 0), "false"), ("top_logprobs", v => IsNumber(v, 0), "0"),
        ("n", v => IsNumber(v, 1), "1"), ("best_of", v => IsNumber(v, 1), "1"), ("echo", v => v.ValueKind == JsonValueKind.False, "false"), ("suffix", v => v.ValueKind == JsonValueKind.String && v.GetString() == "", "none"),
        ("logit_bias", IsEmpty, "none"), ("presence_penalty", v => IsNumber(v, 0), "0"), ("frequency_penalty", v => IsNumber(v, 0), "0"),
        ("response_format", v => v.ValueKind == JsonValueKind.Object && v.TryGetProperty("type", out JsonElement type) && type.ValueEquals("text"), "text"),
    ];

    /// <exception cref="ApiException">The body is refused.</exception>
    internal static CompletionCall Parse(JsonElement body, bool isChat)
    {
        if (body.ValueKind != JsonValueKind.Object) throw new ApiException(ApiError.BadJson($"it is {Kind(body)}; expected an object."));
        foreach ((string field, Func<JsonElement, bool> isHarmless, string allowed) in NotDone)
        {
            if (Has(body, field, out JsonElement value) && !isHarmless(value)) throw new ApiException(ApiError.Unsupported(field, $"allowed: {allowed}."));
        }

        bool stream = Flag(body, "stream") ?? false;
        return new CompletionCall
        {
            IsChat = isChat,
            Model = Has(body, "model", out JsonElement model) && model.ValueKind == JsonValueKind.String ? model.GetString()! : throw new ApiException(ApiError.Missing("model", "the name of a model, see /v1/models")),
            Prompt = isChat ? PromptText.OfMessages(body) : PromptText.OfPrompt(body),
            MaxTokens = Tokens(body, "max_completion_tokens") ?? Tokens(body, "max_tokens"),
            Stop = Stops(body),
            Sampling = new SamplingOptions(Number(body, "temperature", 0, MaxTemperature) ?? 0, TopP(body), Seed(body)),
            Stream = stream,
            IncludeUsage = Has(body, "stream_options", out JsonElement options) && options.ValueKind == JsonValueKind.Object ? Flag(options, "include_usage") : null,
        };
    }

    /// <summary>Whether a field is there and not null.</summary>
    internal static bool Has(JsonElement body, string field, out JsonElement value) => body.TryGetProperty(field, out value) && value.ValueKind != JsonValueKind.Null;

    internal static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "a boolean",
        _ => "null",
    };

    private static int[][] Stops(JsonElement body)
    {
        if (!Has(body, "stop", out JsonElement stop)) return [];
        if (stop.ValueKind == JsonValueKind.String) return [Stop(stop)];
        if (stop.ValueKind != JsonValueKind.Array || stop.GetArrayLength() > MaxStops)
            throw new ApiException(ApiError.Wrong("stop", stop.ValueKind == JsonValueKind.Array ? $"an array of {stop.GetArrayLength()}" : Kind(stop), $"a string, or up to {MaxStops} in an array"));
        return [.. stop.EnumerateArray().Select(Stop)];
    }

    private static int[] Stop(JsonElement stop)
    {
        int[] tokens = stop.ValueKind == JsonValueKind.String ? ByteTokenizer.Encode(stop.GetString()!) : throw new ApiException(ApiError.Wrong("stop", Kind(stop), "strings"));
        return tokens.Length is >= 1 and <= MaxStopBytes ? tokens : throw new ApiException(ApiError.Wrong("stop", $"a string of {tokens.Length} bytes", $"1 to {MaxStopBytes} bytes"));
    }

    private static int? Tokens(JsonElement body, string field)
    {
        if (!Has(body, field, out JsonElement value)) return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int tokens) && tokens >= 1 ? tokens : throw new ApiException(ApiError.Wrong(field, value.GetRawText(), "a whole number of 1 or more"));
    }

    private static double? Number(JsonElement body, string field, double low, double high)
    {
        if (!Has(body, field, out JsonElement value)) return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= low && number <= high
            ? number
            : throw new ApiException(ApiError.Wrong(field, value.GetRawText(), string.Create(System.Globalization.CultureInfo.InvariantCulture, $"a number from {low} to {high}")));
    }

    private static double TopP(JsonElement body)
    {
        double topP = Number(body, "top_p", 0, 1) ?? 1;
        return topP > 0 ? topP : throw new ApiException(ApiError.Wrong("top_p", "0", "a number above 0, up to 1"));
    }

    // Without a seed one is drawn, so that a replay of this request, and of no other, draws the same.
    private static ulong Seed(JsonElement body)
    {
        if (!Has(body, "seed", out JsonElement value)) return (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue);
        if (value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long seed)) return (ulong)seed;
        throw new ApiException(ApiError.Wrong("seed", value.GetRawText(), "a whole number of 64 bits"));
    }

    private static bool? Flag(JsonElement body, string field)
    {
        if (!Has(body, field, out JsonElement value)) return null;
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw new ApiException(ApiError.Wrong(field, Kind(value), "true or false"));
    }

    private static bool IsEmpty(JsonElement value) => value.ValueKind == JsonValueKind.Array ? value.GetArrayLength() == 0 : value.ValueKind == JsonValueKind.Object && !value.EnumerateObject().MoveNext();

    private static bool IsNumber(JsonElement value, double number) => value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double found) && found == number;
}
