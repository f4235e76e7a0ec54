using System.Text.Json;
using System.Xml.Linq;

namespace KvHandoff.Bench.Tests.Commands;

/// <summary>What <c>simulate</c> writes.</summary>
public sealed class SimulateCommandTests
{
    [Fact]
    public async Task A_sweep_over_nodes_links_and_codecs_has_rows_and_pictures()
    {
        using var scratch = new Scratch();
        (int code, _, string errors) = await CommandRun.RunAsync("simulate", "--workload", "alike", "--requests", "2000", "--rate", "30", "--link", "1.2T", "--sweep-nodes", "2,4,8", "--sweep-links", "100G,1.2T", "--sweep-codecs", "raw,fp8", "--codec-cores", "32",
            "--ttft-slo", "100", "--tpot-slo", "5", "--goodput", "0.9", "--output", scratch.FullName, "--quiet");
        Assert.True(code == 0, errors);
        JsonElement simulation = JsonDocument.Parse(File.ReadAllText(scratch.File("simulation.json"))).RootElement;
        Assert.Equal("kvhandoff.bench/1", simulation.GetProperty("schema").GetString());
        JsonElement run = simulation.GetProperty("run");
        Assert.Equal(2000, run.GetProperty("completed").GetInt32());
        JsonElement[] nodes = [.. simulation.GetProperty("nodes").EnumerateArray()];
        Assert.Equal([2, 4, 8], nodes.Select(n => n.GetProperty("prefill_nodes").GetInt32()));
        Assert.Equal(["prefill", "link"], new[] { nodes[0], nodes[2] }.Select(n => n.GetProperty("limit").GetString()));
        Assert.Equal(4.01, simulation.GetProperty("ceilings").GetProperty("prefill_nodes").GetDouble(), 0.02);
        Assert.Equal(["100G", "1.2T"], simulation.GetProperty("links").EnumerateArray().Select(l => l.GetProperty("name").GetString()));
        double[] sent = [.. simulation.GetProperty("codecs").EnumerateArray().Select(c => c.GetProperty("sent_bytes").GetDouble())];
        Assert.Equal(1.939, sent[0] / sent[1], 0.001);
        // Two nodes bear 73.8 requests per second; within 100 ms to the first token some fewer.
        Assert.InRange(simulation.GetProperty("goodput_requests_per_second").GetDouble(), 35, 74);
        string page = File.ReadAllText(scratch.File("simulation.html"));
        XElement root = XDocument.Parse(page["<!DOCTYPE html>".Length..]).Root!;
        Assert.Equal(["run", "times", "nodes", "links", "codecs"], root.Descendants("h2").Select(h => h.Attribute("id")!.Value));
        Assert.Contains("P_sat", page, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_same_command_says_the_same()
    {
        string[] arguments = ["simulate", "--requests", "1500", "--prefill-nodes", "4", "--decode", "cs3-8", "--prefix-cache", "unlimited", "--mtbf", "2000", "--arrivals", "gamma", "--json"];
        async Task<string> Run()
        {
            (int code, string output, string errors) = await CommandRun.RunAsync(arguments);
            Assert.True(code == 0, errors);
            // How long it took is the one thing that may differ.
            return string.Join('\n', output.Split('\n').Where(l => !l.Contains("wall_seconds", StringComparison.Ordinal) && !l.Contains("elapsed_seconds", StringComparison.Ordinal)));
        }

        Assert.Equal(await Run(), await Run());
    }

    [Fact]
    public async Task A_trace_is_replayed_from_its_file()
    {
        using var scratch = new Scratch();
        File.WriteAllLines(scratch.File("t.jsonl"), ["""{"timestamp": 0, "input_length": 1024, "output_length": 5, "hash_ids": [1, 2]}""", """{"timestamp": 500, "input_length": 1500, "output_length": 7, "hash_ids": [1, 2, 3]}""", ""]);
        (int code, string output, string errors) = await CommandRun.RunAsync("simulate", "--trace", scratch.File("t.jsonl"), "--arrivals", "trace", "--prefix-cache", "unlimited", "--json");
        Assert.True(code == 0, errors);
        JsonElement run = JsonDocument.Parse(output).RootElement.GetProperty("run");
        Assert.Equal(2, run.GetProperty("completed").GetInt32());
        Assert.Equal(1024 / 2524.0, run.GetProperty("cached_share").GetDouble(), 1e-9);
        Assert.Equal(2524 * 327_680.0, run.GetProperty("sent_bytes").GetDouble(), 1);
    }
}
