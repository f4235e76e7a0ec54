using System.Text.Json;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>Every codec that can be named hands over: byte for byte what it promises, and equal tokens where it is lossless.</summary>
public sealed class CodecOptionTests
{
    [Theory]
    [InlineData("mxfp8")]
    [InlineData("lz4")]
    [InlineData("auto")]
    public void A_shaped_cache_lands_as_the_codec_makes_it(string codec)
    {
        JsonElement transfer = Assert.Single(Run("--model", "qwen3-8b", "--tokens", "131", "--codec", codec).GetProperty("transfers").EnumerateArray().ToArray());
        Assert.Equal(codec, transfer.GetProperty("codec").GetString());
        Assert.True(transfer.GetProperty("verified").GetBoolean());
        // 36 layers x 8 kv heads x 128 elements x 2 bytes, K and V, 131 tokens.
        Assert.Equal(131L * 36 * 8 * 128 * 2 * 2, transfer.GetProperty("bytes_compared").GetInt64());
    }

    [Theory]
    [InlineData("ew3")]
    [InlineData("auto")]
    public void A_lossless_codec_keeps_the_tokens(string codec)
    {
        JsonElement reference = Run("--model", "reference", "--prompts", "short-short,long-short", "--completion", "64", "--codec", codec).GetProperty("reference");
        Assert.Equal(codec, reference.GetProperty("codec").GetString());
        Assert.True(reference.GetProperty("tokens_equal").GetBoolean());
    }

    private static JsonElement Run(params string[] arguments)
    {
        using var scratch = new ScratchDirectory();
        (int code, string output, string errors) = BenchProgram.Run([.. arguments, "--skip-stages", "--quiet", "--output", scratch.FullName]);
        Assert.True(code == 0, $"Exit code {code}. {output}{errors}");
        return JsonDocument.Parse(File.ReadAllText(scratch.File("summary.json"))).RootElement;
    }
}
