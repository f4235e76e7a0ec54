using System.Text.Json;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The transports that can be named, alone and together, with more than one stream and a codec.</summary>
public sealed class TransportOptionTests
{
    [Fact]
    public void Several_transports_hand_over_one_after_the_other()
    {
        JsonElement[] transfers = [.. Run("--transport", "unix,shm,tls", "--streams", "2").GetProperty("transfers").EnumerateArray()];
        Assert.Equal(["unix", "shm", "tls"], transfers.Select(t => t.GetProperty("transport").GetString()));
        foreach (JsonElement transfer in transfers)
        {
            AssertLanded(transfer, "raw");
            Assert.Equal(2, transfer.GetProperty("streams").GetInt32());
            Assert.Equal(3, transfer.GetProperty("seconds_samples").GetArrayLength());
        }

        // What the sender writes into the blocks does not travel.
        Assert.InRange(transfers[1].GetProperty("wire_bytes").GetInt64(), 1, KvBytes / 500);
    }

    [Fact]
    public void What_loses_something_is_not_placed_but_goes_through_the_ring()
    {
        JsonElement transfer = Assert.Single(Run("--transport", "shm", "--codec", "fp8").GetProperty("transfers").EnumerateArray().ToArray());
        AssertLanded(transfer, "fp8");
        Assert.InRange(transfer.GetProperty("wire_bytes").GetInt64(), KvBytes / 2, KvBytes * 6 / 10);
    }

    // 36 layers x 8 kv heads x 128 elements x 2 bytes, K and V, 65 tokens.
    private const long KvBytes = 65L * 36 * 8 * 128 * 2 * 2;

    private static void AssertLanded(JsonElement transfer, string codec)
    {
        Assert.Equal(codec, transfer.GetProperty("codec").GetString());
        Assert.True(transfer.GetProperty("verified").GetBoolean());
        Assert.Equal(KvBytes, transfer.GetProperty("kv_bytes").GetInt64());
        Assert.Equal(KvBytes, transfer.GetProperty("bytes_compared").GetInt64());
    }

    private static JsonElement Run(params string[] arguments)
    {
        using var scratch = new ScratchDirectory();
        (int code, string output, string errors) = BenchProgram.Run(["--model", "qwen3-8b", "--tokens", "65", .. arguments, "--skip-stages", "--quiet", "--output", scratch.FullName]);
        Assert.True(code == 0, $"Exit code {code}. {output}{errors}");
        return JsonDocument.Parse(File.ReadAllText(scratch.File("summary.json"))).RootElement;
    }
}
