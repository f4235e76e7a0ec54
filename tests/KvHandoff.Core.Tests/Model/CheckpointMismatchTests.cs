using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KvHandoff.Model;
using KvHandoff.Model.Checkpoint;

namespace KvHandoff.Core.Tests.Model;

/// <summary>Configuration, index and tensors that contradict each other.</summary>
public sealed class CheckpointMismatchTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("hidden_size", 48, "shape [61, 48]", "shape [61, 32]")]
    [InlineData("vocab_size", 62, "shape [62, 32]", "shape [61, 32]")]
    [InlineData("head_dim", 32, "shape [128, 32]", "shape [64, 32]")]
    [InlineData("num_key_value_heads", 4, "shape [64, 32]", "shape [32, 32]")]
    [InlineData("intermediate_size", 64, "shape [64, 32]", "shape [56, 32]")]
    [InlineData("num_hidden_layers", 4, "shape [32]", "no such tensor")]
    [InlineData("num_hidden_layers", 1024, "shape [32]", "no such tensor")]
    [InlineData("hidden_size", 1 << 20, "shape [61, 1048576]", "shape [61, 32]")]
    public void Tensors_that_contradict_the_configuration_are_named_with_both_shapes(string field, int value, string expected, string actual)
    {
        var checkpoint = new SyntheticCheckpoint();
        checkpoint.Write(_directory.Path);
        JsonObject config = checkpoint.Config();
        config[field] = value;
        File.WriteAllText(_directory.File("config.json"), config.ToJsonString());
        var refusal = Assert.Throws<CheckpointException>(() => LlamaModel.Load(_directory.Path));
        Assert.Contains(expected, refusal.Expected);
        Assert.Contains(actual, refusal.Actual);
        Assert.StartsWith("tensor model.", refusal.What);
    }

    [Fact]
    public void An_untied_model_without_a_head_is_refused()
    {
        new SyntheticCheckpoint().Write(_directory.Path);
        File.WriteAllText(_directory.File("config.json"), new SyntheticCheckpoint { Tied = false }.Config().ToJsonString());
        Assert.Equal("tensor lm_head.weight", Assert.Throws<CheckpointException>(() => LlamaModel.Load(_directory.Path)).What);
    }

    [Theory]
    [InlineData("../model-00001-of-00002.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("..")]
    [InlineData(".hidden.safetensors")]
    [InlineData("a\\b.safetensors")]
    [InlineData("c:x.safetensors")]
    [InlineData("config.json")]
    [InlineData("")]
    public void A_shard_name_cannot_leave_the_directory(string shard)
    {
        new SyntheticCheckpoint { Shards = 2 }.Write(_directory.Path);
        EditIndex(map => map["model.norm.weight"] = shard);
        var refusal = Assert.Throws<CheckpointException>(() => LlamaModel.Load(_directory.Path));
        Assert.Equal("a plain file name ending in .safetensors", refusal.Expected);
        Assert.Equal($"\"{shard}\"", refusal.Actual);
    }

    [Fact]
    public void An_index_that_the_shards_contradict_is_refused()
    {
        new SyntheticCheckpoint { Shards = 2 }.Write(_directory.Path);
        string first = "model-00001-of-00002.safetensors", second = "model-00002-of-00002.safetensors";
        string moved = "";
        EditIndex(map => map[moved = map.First(e => (string?)e.Value == first).Key] = second);
        var refusal = Assert.Throws<CheckpointException>(() => LlamaModel.Load(_directory.Path));
        Assert.Equal(($"tensor {moved}", $"it in {second}", $"it in {first}"), (refusal.What, refusal.Expected, refusal.Actual));

        EditIndex(map =>
        {
            map[moved] = first;
            map["absent"] = first;
        });
        Assert.Equal("it in no shard", Assert.Throws<CheckpointException>(() => LlamaModel.Load(_directory.Path)).Actual);

        File.Copy(_directory.File(first), _directory.File(second), overwrite: true);
        Assert.Contains("too", Assert.Throws<CheckpointException>(() => LlamaModel.Load(_directory.Path)).Actual);
        File.Delete(_directory.File(second));
        Assert.Contains(second, Assert.Throws<CheckpointException>(() => LlamaModel.Load(_directory.Path)).File);
    }

    [Fact]
    public void Identity_follows_the_weights_and_the_rotary_embedding()
    {
        new SyntheticCheckpoint { RopeScaling = new Llama3RopeScaling(8, 1, 4, 64) }.Write(_directory.Path);
        using (LlamaModel model = LlamaModel.Load(_directory.Path))
        {
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(_directory.File("model.safetensors")))), model.Identity.Revision);
            Assert.Equal((10_000, "llama3 factor=8 low=1 high=4 original=64"), (model.Identity.RopeTheta, model.Identity.RopeScaling));
            Assert.Equal(Path.GetFileName(_directory.Path), model.Identity.Name);
        }

        new SyntheticCheckpoint().Write(_directory.Path, seed: 2);
        using LlamaModel other = LlamaModel.Load(_directory.Path);
        Assert.Equal("", other.Identity.RopeScaling);

        File.Delete(_directory.File("model.safetensors"));
        new SyntheticCheckpoint { Shards = 2 }.Write(_directory.Path);
        using LlamaModel sharded = LlamaModel.Load(_directory.Path);
        byte[] joined = [.. File.ReadAllBytes(_directory.File("model-00001-of-00002.safetensors")), .. File.ReadAllBytes(_directory.File("model-00002-of-00002.safetensors"))];
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(joined)), sharded.Identity.Revision);
    }

    private void EditIndex(Action<JsonObject> edit)
    {
        string path = _directory.File("model.safetensors.index.json");
        JsonNode index = JsonNode.Parse(File.ReadAllText(path))!;
        edit(index["weight_map"]!.AsObject());
        File.WriteAllText(path, index.ToJsonString());
    }
}
