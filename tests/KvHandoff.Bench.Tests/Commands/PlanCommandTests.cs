using System.Text.Json;
using System.Xml.Linq;

namespace KvHandoff.Bench.Tests.Commands;

/// <summary>What <c>plan</c> writes, and what it refuses.</summary>
public sealed class PlanCommandTests
{
    [Fact]
    public async Task The_prompt_of_the_design_at_100_gigabits()
    {
        using var scratch = new Scratch();
        (int code, string output, string errors) = await CommandRun.RunAsync("plan", "--model", "llama-3.3-70b", "--tokens", "3100", "--link", "100G", "--json", scratch.File("plan.json"), "--output", scratch.FullName);
        Assert.True(code == 0, errors);
        JsonElement plan = JsonDocument.Parse(File.ReadAllText(scratch.File("plan.json"))).RootElement;
        Assert.Equal("kvhandoff.bench/1", plan.GetProperty("schema").GetString());
        Assert.Equal("plan", plan.GetProperty("command").GetString());
        JsonElement answer = plan.GetProperty("answer");
        Assert.Equal(1_015_808_000, answer.GetProperty("kv_bytes").GetDouble());
        Assert.Equal(81.26464e-3, answer.GetProperty("raw_wire_seconds").GetDouble(), 1e-9);
        Assert.Equal(80, answer.GetProperty("units").GetInt32());
        // Every answer has its table on the console and its picture on the page.
        foreach (string question in new[] { "How many bytes", "How much hides", "How many units", "Which codec", "What fits in decode memory", "How many prefill nodes", "Does it beat a colocated server" })
            Assert.Contains(question, output + File.ReadAllText(scratch.File("plan.html")), StringComparison.Ordinal);
        XElement page = XDocument.Parse(File.ReadAllText(scratch.File("plan.html"))["<!DOCTYPE html>".Length..]).Root!;
        Assert.Equal(["answer", "sizes", "links", "units", "codecs", "capacity", "saturation", "comparison", "sources"], page.Descendants("h2").Select(h => h.Attribute("id")!.Value));
        Assert.Equal(8, page.Descendants("svg").Count());
        Assert.DoesNotContain("NaN", page.ToString(), StringComparison.Ordinal);
        Assert.All(plan.GetProperty("sources").EnumerateArray(), row => Assert.True(row.GetProperty("source").GetString()!.Length > 3));
    }

    [Fact]
    public async Task Json_without_a_file_goes_to_the_output_alone()
    {
        (int code, string output, _) = await CommandRun.RunAsync("plan", "--tokens", "3100", "--json");
        Assert.Equal(0, code);
        Assert.Equal(1_015_808_000, JsonDocument.Parse(output).RootElement.GetProperty("answer").GetProperty("kv_bytes").GetDouble());
    }

    [Theory]
    [InlineData("deepseek-r1", "h200-8")]
    [InlineData("kimi-k2", "cs3-26")]
    [InlineData("gpt-oss-120b", "b200-8")]
    [InlineData("reference", "cs3-1")]
    public async Task Every_kind_of_model_has_a_page(string model, string decode)
    {
        using var scratch = new Scratch();
        (int code, _, string errors) = await CommandRun.RunAsync("plan", "--model", model, "--decode", decode, "--kv", "fp8", "--weights", "fp8", "--codec", "ew3", "--codec-cores", "8", "--cached", "0.5", "--stall-us", "5", "--units", "10", "--output", scratch.FullName, "--quiet");
        Assert.True(code == 0, errors);
        string page = File.ReadAllText(scratch.File("plan.html"));
        Assert.Equal("html", XDocument.Parse(page["<!DOCTYPE html>".Length..]).Root!.Name.LocalName);
        Assert.DoesNotContain("NaN", page, StringComparison.Ordinal);
        Assert.DoesNotContain("∞", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_model_may_be_a_config_and_a_catalogue_ones_own()
    {
        using var scratch = new Scratch();
        File.WriteAllText(scratch.File("config.json"), """{"hidden_size":1024,"num_hidden_layers":10,"num_attention_heads":16,"num_key_value_heads":2,"intermediate_size":4096,"vocab_size":1000}""");
        File.WriteAllText(scratch.File("mine.json"), """{"schema":"kvhandoff.catalogue/1","links":[{"name":"lab","title":"lab","bits_per_second":{"value":5e9,"source":"iperf3"},"efficiency":{"value":0.8,"source":"iperf3"},"message_seconds":{"value":1e-4,"source":"ping"}}]}""");
        (int code, string output, string errors) = await CommandRun.RunAsync("plan", "--model", scratch.File("config.json"), "--catalogue", scratch.File("mine.json"), "--link", "lab", "--tokens", "1000", "--json");
        Assert.True(code == 0, errors);
        JsonElement answer = JsonDocument.Parse(output).RootElement.GetProperty("answer");
        // 10 layers, K and V, 2 heads of 64, 2 bytes.
        Assert.Equal(10 * 2 * 2 * 64 * 2 * 1000, answer.GetProperty("kv_bytes").GetDouble());
        Assert.Equal("lab", answer.GetProperty("link").GetString());
        Assert.True(answer.GetProperty("wire_seconds").GetDouble() > answer.GetProperty("raw_wire_seconds").GetDouble() / 0.8);
    }

    public static TheoryData<string[], string, string, string> Wrong => new()
    {
        { ["plan", "--model", "gpt-9"], "--model", "'gpt-9'", "llama-3.3-70b" },
        { ["plan", "--tokens", "0"], "--tokens", "'0'", "from 1 to" },
        { ["plan", "--link", "fast"], "--link", "'fast'", "100G" },
        { ["plan", "--prefill", "abacus"], "--prefill", "'abacus'", "trn3-16" },
        { ["plan", "--decode", "abacus"], "--decode", "'abacus'", "cs3-4" },
        { ["plan", "--colocated", "abacus"], "--colocated", "'abacus'", "h100-8" },
        { ["plan", "--codec", "zip"], "--codec", "'zip'", "ew3" },
        { ["plan", "--codec", "int8", "--kv", "fp8"], "--codec", "'int8'", "raw, or a lossless codec" },
        { ["plan", "--message-kib", "0"], "--message-kib", "'0'", "from 1 to" },
        { ["plan", "--kv", "fp64"], "--kv", "'fp64'", "bf16, fp8" },
        { ["plan", "--cached", "1"], "--cached", "'1'", "from 0 to 0.99" },
        { ["plan", "--stall-us", "x"], "--stall-us", "'x'", "a number from 0" },
        { ["plan", "--catalogue", "/nowhere.json"], "--catalogue", "'/nowhere.json'", "file that exists" },
        { ["plan", "--rates", "/nowhere.json"], "--rates", "'/nowhere.json'", "file that exists" },
        { ["plan", "--calibrate", "/nowhere.json"], "--calibrate", "'/nowhere.json'", "file that exists" },
        { ["plan", "--measure", "pigeon"], "--measure", "'pigeon'", "tcp" },
        { ["plan", "--frobnicate"], "plan", "'--frobnicate'", "--model" },
        { ["simulate", "--trace", "/nowhere.jsonl"], "--trace", "'/nowhere.jsonl'", "file that exists" },
        { ["simulate", "--trace", "x", "--workload", "alike"], "--workload", "'alike'", "one of the two" },
        { ["simulate", "--tokens", "5"], "--tokens", "'5'", "--workload alike" },
        { ["simulate", "--rate", "-1"], "--rate", "'-1'", "a number from" },
        { ["simulate", "--prefill-nodes", "0"], "--prefill-nodes", "'0'", "from 1 to" },
        { ["simulate", "--requests", "1"], "--requests", "'1'", "from 2 to" },
        { ["simulate", "--sharing", "unfair"], "--sharing", "'unfair'", "fair, fifo" },
        { ["simulate", "--instant", "both"], "--instant", "'both'", "prefill, decode" },
        { ["simulate", "--sweep-nodes", "1,x"], "--sweep-nodes", "'x'", "a number from 1" },
        { ["simulate", "--sweep-links", "100G,slow"], "--sweep-links", "'slow'", "100G" },
        { ["simulate", "--sweep-codecs", "zip"], "--sweep-codecs", "'zip'", "ew3" },
        { ["simulate", "--prefix-cache", "some"], "--prefix-cache", "'some'", "a number from 0" },
        { ["simulate", "--goodput", "2"], "--goodput", "'2'", "from 0.01 to 1" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task One_line_names_the_argument_the_value_and_what_is_allowed(string[] arguments, string argument, string value, string allowed)
    {
        (int code, string output, string errors) = await CommandRun.RunAsync(arguments);
        Assert.Equal(2, code);
        Assert.Empty(output);
        string line = Assert.Single(errors.TrimEnd().Split('\n'));
        Assert.Contains(argument, line, StringComparison.Ordinal);
        Assert.Contains(value, line, StringComparison.Ordinal);
        Assert.Contains("allowed", line, StringComparison.Ordinal);
        Assert.Contains(allowed, line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("plan", "--catalogue", "--units", "Examples", "Exit code", "docs/claims.md")]
    [InlineData("simulate", "--sweep-nodes", "--trace", "Examples", "Exit code", "seeded")]
    public async Task Help_teaches(string command, params string[] expected)
    {
        (int code, string output, _) = await CommandRun.RunAsync(command, "--help");
        Assert.Equal(0, code);
        Assert.All(expected, text => Assert.Contains(text, output, StringComparison.Ordinal));
    }
}
