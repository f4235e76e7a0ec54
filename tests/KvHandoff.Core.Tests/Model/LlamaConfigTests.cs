using System.Text.Json.Nodes;
using KvHandoff.Model;
using KvHandoff.Model.Checkpoint;

namespace KvHandoff.Core.Tests.Model;

public sealed class LlamaConfigTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Every_field_is_read()
    {
        LlamaConfig config = Load(new SyntheticCheckpoint { RopeScaling = new Llama3RopeScaling(32, 1, 4, 8192), RopeTheta = 500_000 }.Config());
        Assert.Equal((32, 3, 4, 2, 16, 56, 61), (config.HiddenSize, config.Layers, config.QueryHeads, config.KvHeads, config.HeadDim, config.IntermediateSize, config.VocabularySize));
        Assert.Equal((1e-5f, 500_000.0, 1024, true), (config.RmsNormEpsilon, config.RopeTheta, config.MaxPositions, config.TieWordEmbeddings));
        Assert.Equal(new Llama3RopeScaling(32, 1, 4, 8192), config.RopeScaling);
        Assert.Equal(new[] { 1, 2 }, config.EndTokens.AsEnumerable());
        Assert.Equal((2, 64, 32), (config.GroupSize, config.QueryWidth, config.KvWidth));
    }

    [Fact]
    public void Absent_fields_have_the_defaults_of_the_format()
    {
        JsonObject json = new SyntheticCheckpoint().Config();
        foreach (string name in new[] { "head_dim", "num_key_value_heads", "rope_theta", "tie_word_embeddings", "max_position_embeddings" }) json.Remove(name);
        json["eos_token_id"] = 7;
        json["rope_scaling"] = null;
        LlamaConfig config = Load(json);
        Assert.Equal((8, 4, 10_000.0, false, 2048), (config.HeadDim, config.KvHeads, config.RopeTheta, config.TieWordEmbeddings, config.MaxPositions));
        Assert.Equal(new[] { 7 }, config.EndTokens.AsEnumerable());
        Assert.Null(config.RopeScaling);
    }

    [Fact]
    public void The_newer_form_of_rope_parameters_is_read()
    {
        JsonObject json = new SyntheticCheckpoint().Config();
        json.Remove("rope_theta");
        json["rope_parameters"] = new JsonObject { ["rope_type"] = "default", ["rope_theta"] = 250_000 };
        LlamaConfig config = Load(json);
        Assert.Equal(250_000, config.RopeTheta);
        Assert.Null(config.RopeScaling);
    }

    [Theory]
    [InlineData("hidden_size", "0", "an integer from 1 to 1048576", "0")]
    [InlineData("hidden_size", "null", "an integer from 1 to 1048576", "none")]
    [InlineData("hidden_size", "\"32\"", "an integer from 1 to 1048576", "\"32\"")]
    [InlineData("num_hidden_layers", "99999999999", "an integer from 1 to 1024", "99999999999")]
    [InlineData("num_key_value_heads", "3", "a divisor of num_attention_heads 4", "3")]
    [InlineData("head_dim", "15", "an even number", "15")]
    [InlineData("rms_norm_eps", "-1", "a number from 0 to 1", "-1")]
    [InlineData("rope_theta", "0.5", "a number from 1 to 1000000000000", "0.5")]
    [InlineData("eos_token_id", "61", "an integer from 0 to 60", "61")]
    [InlineData("eos_token_id", "[1, 99]", "at most 64 integers from 0 to 60", "[1,99]")]
    [InlineData("model_type", "\"mamba\"", "\"llama\"", "\"mamba\"")]
    [InlineData("hidden_act", "\"gelu\"", "\"silu\"", "\"gelu\"")]
    [InlineData("attention_bias", "true", "false", "true")]
    [InlineData("tie_word_embeddings", "1", "true or false", "1")]
    [InlineData("rope_scaling", "5", "an object or null", "5")]
    [InlineData("rope_scaling", """{"rope_type":"yarn","factor":4}""", "\"llama3\"", "\"yarn\"")]
    [InlineData("rope_scaling", """{"type":"linear","factor":4}""", "\"llama3\"", "\"linear\"")]
    [InlineData("rope_scaling", """{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":1,"original_max_position_embeddings":8192}""", "more than low_freq_factor 4", "1")]
    [InlineData("rope_scaling", """{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4}""", "an integer from 1 to 16777216", "none")]
    public void A_field_out_of_range_is_refused_with_its_name_and_both_values(string field, string value, string expected, string actual)
    {
        JsonObject json = new SyntheticCheckpoint().Config();
        json[field] = JsonNode.Parse(value);
        var refusal = Assert.Throws<CheckpointException>(() => Load(json));
        Assert.StartsWith(field, refusal.What);
        Assert.Contains(expected, refusal.Expected);
        Assert.Equal(actual, refusal.Actual);
    }

    [Fact]
    public void A_file_that_is_no_configuration_is_refused()
    {
        foreach (string text in new[] { "", "{", "[1]", "\"text\"", "{\"hidden_size\":", new string('[', 100), $"{{\"a\":\"{new string('x', 1 << 20)}\"}}" })
        {
            File.WriteAllText(_directory.File("config.json"), text);
            Assert.Equal(_directory.File("config.json"), Assert.Throws<CheckpointException>(() => LlamaConfig.Load(_directory.File("config.json"))).File);
        }

        Assert.Throws<CheckpointException>(() => LlamaConfig.Load(_directory.File("absent.json")));
    }

    private LlamaConfig Load(JsonObject json)
    {
        string path = _directory.File("config.json");
        File.WriteAllText(path, json.ToJsonString());
        return LlamaConfig.Load(path);
    }
}
