using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using KvHandoff.Model.Checkpoint;

namespace KvHandoff.Model;

public sealed partial record LlamaConfig
{
    private const long MaxFileBytes = 1 << 20;
    private const int MaxWidth = 1 << 20;

    /// <summary>Reads and validates <c>config.json</c> at <paramref name="path"/>.</summary>
    /// <exception cref="CheckpointException">A field is absent, out of range or asks for what this runtime does not do.</exception>
    public static LlamaConfig Load(string path)
    {
        using JsonDocument document = BoundedJson.Read(path, MaxFileBytes);
        string directory = Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(path))) is { Length: > 0 } name ? name : "model";
        try
        {
            return Parse(new Fields(path, document.RootElement), directory);
        }
        catch (InvalidOperationException e)
        {
            // Text that is no UTF-8 is found only when it is decoded.
            throw new CheckpointException(path, "file", "UTF-8 text", e.Message, inner: e);
        }
    }

    private static LlamaConfig Parse(Fields fields, string directory)
    {
        fields.RequireText("model_type", "llama");
        fields.RequireText("hidden_act", "silu");
        fields.RequireFalse("attention_bias");
        fields.RequireFalse("mlp_bias");
        int hidden = fields.Integer("hidden_size", 1, MaxWidth);
        int queryHeads = fields.Integer("num_attention_heads", 1, 4096);
        int kvHeads = fields.Integer("num_key_value_heads", 1, 1024, queryHeads);
        if (queryHeads % kvHeads != 0)
            throw fields.Bad("num_key_value_heads", $"a divisor of num_attention_heads {queryHeads}", $"{kvHeads}");
        if (!fields.Has("head_dim") && hidden % queryHeads != 0)
            throw fields.Bad("hidden_size", $"a multiple of num_attention_heads {queryHeads} (there is no head_dim)", $"{hidden}");
        int headDim = fields.Integer("head_dim", 2, 4096, hidden / queryHeads);
        if (headDim % 2 != 0) throw fields.Bad("head_dim", "an even number", $"{headDim}");
        Fields rope = fields.Child("rope_parameters") ?? fields;
        int vocabulary = fields.Integer("vocab_size", 1, 1 << 24);
        return new LlamaConfig
        {
            Name = fields.Text("_name_or_path") is { Length: > 0 and <= 200 } name ? name : directory,
            HiddenSize = hidden,
            Layers = fields.Integer("num_hidden_layers", 1, 1024),
            QueryHeads = queryHeads,
            KvHeads = kvHeads,
            HeadDim = headDim,
            IntermediateSize = fields.Integer("intermediate_size", 1, MaxWidth),
            VocabularySize = vocabulary,
            RmsNormEpsilon = (float)fields.Number("rms_norm_eps", 0, 1, 1e-6),
            RopeTheta = rope.Number("rope_theta", 1, 1e12, 10_000),
            RopeScaling = ParseScaling(fields.Child("rope_scaling") ?? fields.Child("rope_parameters")),
            MaxPositions = fields.Integer("max_position_embeddings", 1, 1 << 24, 2048),
            TieWordEmbeddings = fields.Flag("tie_word_embeddings"),
            EndTokens = fields.Integers("eos_token_id", 0, vocabulary - 1),
        };
    }

    private static Llama3RopeScaling? ParseScaling(Fields? fields)
    {
        if (fields is null) return null;
        string type = fields.Text("rope_type") ?? fields.Text("type") ?? "default";
        if (type == "default") return null;
        if (type != "llama3") throw fields.Bad("rope_type", "\"llama3\", \"default\" or no scaling", $"\"{type}\"");
        double low = fields.Number("low_freq_factor", 1e-6, 1e6), high = fields.Number("high_freq_factor", 1e-6, 1e6);
        if (high <= low)
            throw fields.Bad("high_freq_factor", $"more than low_freq_factor {low.ToString(CultureInfo.InvariantCulture)}", high.ToString(CultureInfo.InvariantCulture));
        return new Llama3RopeScaling(fields.Number("factor", 1, 1e6), low, high, fields.Integer("original_max_position_embeddings", 1, 1 << 24));
    }

    // One JSON object of the file: every read checks kind and range and names the field.
    private sealed class Fields(string file, JsonElement json, string prefix = "")
    {
        internal CheckpointException Bad(string name, string expected, string actual) => new(file, prefix + name, expected, actual);

        internal bool Has(string name) => Find(name) is not null;

        internal Fields? Child(string name) => Find(name) switch
        {
            null => null,
            { ValueKind: JsonValueKind.Object } child => new Fields(file, child, $"{prefix}{name}."),
            { } other => throw Bad(name, "an object or null", Show(other)),
        };

        internal string? Text(string name) => Find(name) switch
        {
            null => null,
            { ValueKind: JsonValueKind.String } text => text.GetString(),
            { } other => throw Bad(name, "a string", Show(other)),
        };

        internal void RequireText(string name, string only)
        {
            if (Text(name) is { } text && text != only) throw Bad(name, $"\"{only}\"", $"\"{(text.Length > 64 ? text[..64] : text)}\"");
        }

        internal bool Flag(string name) => Find(name) switch
        {
            null or { ValueKind: JsonValueKind.False } => false,
            { ValueKind: JsonValueKind.True } => true,
            { } other => throw Bad(name, "true or false", Show(other)),
        };

        internal void RequireFalse(string name)
        {
            if (Flag(name)) throw Bad(name, "false", "true");
        }

        internal int Integer(string name, int low, int high, int? absent = null)
        {
            string allowed = $"an integer from {low} to {high}";
            if (Find(name) is not { } value) return absent ?? throw Bad(name, allowed, "none");
            if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int number) || number < low || number > high) throw Bad(name, allowed, Show(value));
            return number;
        }

        internal double Number(string name, double low, double high, double? absent = null)
        {
            string allowed = string.Create(CultureInfo.InvariantCulture, $"a number from {low} to {high}");
            if (Find(name) is not { } value) return absent ?? throw Bad(name, allowed, "none");
            if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number) || !(number >= low && number <= high)) throw Bad(name, allowed, Show(value));
            return number;
        }

        internal ImmutableArray<int> Integers(string name, int low, int high)
        {
            if (Find(name) is not { } value) return [];
            if (value.ValueKind != JsonValueKind.Array) return [Integer(name, low, high)];
            var numbers = ImmutableArray.CreateBuilder<int>();
            foreach (JsonElement item in value.EnumerateArray())
            {
                if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out int number) || number < low || number > high || numbers.Count == 64)
                    throw Bad(name, $"at most 64 integers from {low} to {high}", Show(value));
                numbers.Add(number);
            }

            return numbers.ToImmutable();
        }

        private JsonElement? Find(string name) =>
            json.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

        private static string Show(JsonElement value) => value.GetRawText() is var text && text.Length <= 64 ? text : text[..64] + "...";
    }
}
