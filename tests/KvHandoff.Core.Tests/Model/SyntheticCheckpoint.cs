using System.Text.Json.Nodes;
using KvHandoff.Model;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

/// <summary>A small model with seeded random weights, written as a checkpoint directory.</summary>
internal sealed record SyntheticCheckpoint
{
    internal int Hidden { get; init; } = 32;
    internal int Layers { get; init; } = 3;
    internal int QueryHeads { get; init; } = 4;
    internal int KvHeads { get; init; } = 2;
    internal int HeadDim { get; init; } = 16;
    internal int Intermediate { get; init; } = 56;
    internal int Vocabulary { get; init; } = 61;
    internal bool Tied { get; init; } = true;
    internal ElementType ElementType { get; init; } = ElementType.BFloat16;
    internal int Shards { get; init; } = 1;
    internal double RopeTheta { get; init; } = 10_000;
    internal Llama3RopeScaling? RopeScaling { get; init; }

    internal JsonObject Config()
    {
        var config = new JsonObject
        {
            ["model_type"] = "llama",
            ["hidden_act"] = "silu",
            ["hidden_size"] = Hidden,
            ["num_hidden_layers"] = Layers,
            ["num_attention_heads"] = QueryHeads,
            ["num_key_value_heads"] = KvHeads,
            ["head_dim"] = HeadDim,
            ["intermediate_size"] = Intermediate,
            ["vocab_size"] = Vocabulary,
            ["rms_norm_eps"] = 1e-5,
            ["rope_theta"] = RopeTheta,
            ["max_position_embeddings"] = 1024,
            ["tie_word_embeddings"] = Tied,
            ["eos_token_id"] = new JsonArray(1, 2),
        };
        if (RopeScaling is { } s)
        {
            config["rope_scaling"] = new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = s.Factor,
                ["low_freq_factor"] = s.LowFrequencyFactor,
                ["high_freq_factor"] = s.HighFrequencyFactor,
                ["original_max_position_embeddings"] = s.OriginalMaxPositions,
            };
        }

        return config;
    }

    internal List<(string Name, long[] Shape, float[] Values)> Tensors(int seed)
    {
        var random = new Random(seed);
        var tensors = new List<(string, long[], float[])>();
        void Add(string name, double spread, double mean, params long[] shape)
        {
            var values = new float[shape.Aggregate(1L, (a, b) => a * b)];
            for (int i = 0; i < values.Length; i++) values[i] = (float)(mean + spread * (2 * random.NextDouble() - 1));
            tensors.Add((name, shape, SafetensorsWriter.Rounded(values, ElementType)));
        }

        Add("model.embed_tokens.weight", 1, 0, Vocabulary, Hidden);
        for (int i = 0; i < Layers; i++)
        {
            string prefix = $"model.layers.{i}.";
            Add(prefix + "input_layernorm.weight", 0.5, 1, Hidden);
            Add(prefix + "self_attn.q_proj.weight", 0.5, 0, QueryHeads * HeadDim, Hidden);
            Add(prefix + "self_attn.k_proj.weight", 0.5, 0, KvHeads * HeadDim, Hidden);
            Add(prefix + "self_attn.v_proj.weight", 0.3, 0, KvHeads * HeadDim, Hidden);
            Add(prefix + "self_attn.o_proj.weight", 0.3, 0, Hidden, QueryHeads * HeadDim);
            Add(prefix + "post_attention_layernorm.weight", 0.5, 1, Hidden);
            Add(prefix + "mlp.gate_proj.weight", 0.3, 0, Intermediate, Hidden);
            Add(prefix + "mlp.up_proj.weight", 0.3, 0, Intermediate, Hidden);
            Add(prefix + "mlp.down_proj.weight", 0.3, 0, Hidden, Intermediate);
        }

        Add("model.norm.weight", 0.5, 1, Hidden);
        if (!Tied) Add("lm_head.weight", 1, 0, Vocabulary, Hidden);
        return tensors;
    }

    /// <summary>Writes the checkpoint and returns its tensors by name.</summary>
    internal Dictionary<string, float[]> Write(string directory, int seed = 1)
    {
        List<(string Name, long[] Shape, float[] Values)> tensors = Tensors(seed);
        File.WriteAllText(Path.Combine(directory, "config.json"), Config().ToJsonString());
        if (Shards == 1)
        {
            File.WriteAllBytes(Path.Combine(directory, "model.safetensors"), SafetensorsWriter.Serialize(tensors, ElementType));
        }
        else
        {
            var map = new JsonObject();
            for (int shard = 0; shard < Shards; shard++)
            {
                string name = $"model-{shard + 1:d5}-of-{Shards:d5}.safetensors";
                var part = tensors.Where((_, i) => i % Shards == shard).ToList();
                File.WriteAllBytes(Path.Combine(directory, name), SafetensorsWriter.Serialize(part, ElementType));
                foreach ((string tensor, _, _) in part) map[tensor] = name;
            }

            File.WriteAllText(Path.Combine(directory, "model.safetensors.index.json"), new JsonObject { ["weight_map"] = map }.ToJsonString());
        }

        return tensors.ToDictionary(t => t.Name, t => t.Values);
    }

    internal int[] RandomTokens(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(Vocabulary))];
    }
}
