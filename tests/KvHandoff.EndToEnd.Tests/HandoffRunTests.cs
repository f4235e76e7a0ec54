using System.Text.Json;
using System.Xml.Linq;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>One reduced run of the main job, looked at from all sides.</summary>
public sealed class HandoffRun : IDisposable
{
    private readonly ScratchDirectory _scratch = new();

    public HandoffRun()
    {
        string json = _scratch.File("copy.json");
        (ExitCode, Output, Errors) = BenchProgram.Run("handoff", "--prompts", "short-short,long-short", "--tokens", "131", "--skip-stages", "--json", json, "--output", _scratch.FullName);
        if (ExitCode != 0) return;
        Json = File.ReadAllText(json);
        Summary = JsonDocument.Parse(Json).RootElement;
        SummaryFile = File.ReadAllText(_scratch.File("summary.json"));
        Page = File.ReadAllText(_scratch.File("report.html"));
    }

    internal int ExitCode { get; }

    internal string Output { get; }

    internal string Errors { get; }

    internal string Json { get; } = "";

    internal string SummaryFile { get; } = "";

    internal string Page { get; } = "";

    internal JsonElement Summary { get; }

    public void Dispose() => _scratch.Dispose();
}

public sealed class HandoffRunTests(HandoffRun run) : IClassFixture<HandoffRun>
{
    [Fact]
    public void Ends_with_0_and_both_json_files_are_the_same()
    {
        Assert.True(run.ExitCode == 0, $"Exit code {run.ExitCode}. {run.Output}{run.Errors}");
        Assert.Equal(run.Json, run.SummaryFile);
        Assert.Empty(run.Errors);
    }

    [Fact]
    public void Decoded_tokens_equal_the_single_process_ones_and_nothing_was_prefilled_twice()
    {
        JsonElement reference = run.Summary.GetProperty("reference");
        Assert.True(reference.GetProperty("tokens_equal").GetBoolean());
        Assert.Equal(0, reference.GetProperty("decode_prefilled_tokens").GetInt64());
        JsonElement[] prompts = [.. reference.GetProperty("prompts").EnumerateArray()];
        Assert.Equal(["short-short", "long-short"], prompts.Select(p => p.GetProperty("name").GetString()));
        foreach (JsonElement prompt in prompts)
        {
            Assert.True(prompt.GetProperty("tokens_equal").GetBoolean());
            Assert.Equal(128, prompt.GetProperty("completion_tokens").GetInt32());
            int tokens = prompt.GetProperty("prompt_tokens").GetInt32();
            Assert.True(tokens > 0);
            Assert.True(prompt.GetProperty("ttft_ms").GetDouble() > 0);
            Assert.True(prompt.GetProperty("tpot_ms").GetDouble() > 0);
            JsonElement handoff = prompt.GetProperty("handoff");
            // 6 layers x 4 kv heads x 64 elements x 2 bytes, K and V.
            Assert.Equal(tokens * 6L * 4 * 64 * 2 * 2, handoff.GetProperty("bytes").GetInt64());
            Assert.True(handoff.GetProperty("seconds").GetDouble() > 0);
            AssertPhases(handoff.GetProperty("phases"));
        }
    }

    [Fact]
    public void Transfers_are_verified_and_their_bytes_add_up()
    {
        JsonElement[] transfers = [.. run.Summary.GetProperty("transfers").EnumerateArray()];
        Assert.Equal(["raw", "ew3", "fp8", "int8", "raw", "raw", "raw"], transfers.Select(t => t.GetProperty("codec").GetString()));
        Assert.Equal(["tcp", "tcp", "tcp", "tcp", "unix", "shm", "tls"], transfers.Select(t => t.GetProperty("transport").GetString()));
        foreach (JsonElement transfer in transfers)
        {
            // 80 layers x 8 kv heads x 128 elements x 2 bytes, K and V, 131 tokens: not a whole number of blocks.
            const long KvBytes = 131L * 80 * 8 * 128 * 2 * 2;
            Assert.Equal("llama-3.3-70b", transfer.GetProperty("model").GetString());
            Assert.Equal(131, transfer.GetProperty("tokens").GetInt32());
            Assert.Equal(1, transfer.GetProperty("streams").GetInt32());
            Assert.Equal(KvBytes, transfer.GetProperty("kv_bytes").GetInt64());
            Assert.Equal(KvBytes, transfer.GetProperty("bytes_compared").GetInt64());
            Assert.Equal(61L * 80 * 8 * 128 * 2 * 2, transfer.GetProperty("tail_bytes_checked").GetInt64());
            Assert.True(transfer.GetProperty("verified").GetBoolean());
            long wire = transfer.GetProperty("wire_bytes").GetInt64();
            // A last granule of 3 tokens is dear where every channel has a scale.
            bool placed = transfer.GetProperty("transport").GetString() == "shm", uncoded = transfer.GetProperty("codec").GetString() == "raw";
            (double least, double most) = placed ? (0.0005, 0.002) : transfer.GetProperty("codec").GetString() switch { "raw" => (1, 1.01), "ew3" => (0.65, 0.76), "fp8" => (0.5, 0.53), _ => (0.5, 0.55) };
            Assert.InRange(wire / (double)KvBytes, least, most);
            Assert.InRange(transfer.GetProperty("socket_bytes").GetInt64(), wire, wire + 65536);
            Assert.Equal(transfer.GetProperty("transport").GetString() == "tcp" ? 3 : 2, transfer.GetProperty("seconds_samples").GetArrayLength());
            Assert.Equal(uncoded, transfer.TryGetProperty("of_bare", out JsonElement ofBare));
            if (uncoded) Assert.Equal(transfer.GetProperty("gbps").GetDouble() / transfer.GetProperty("bare_gbps").GetDouble(), ofBare.GetDouble(), 9);
            // The sender's one pass over shared memory; sockets take uncoded rows from where they lie.
            if (uncoded) Assert.Equal(placed ? 1 : 0, transfer.GetProperty("bytes_copied_per_byte").GetDouble());
            foreach (string number in new[] { "seconds", "gbps", "of_memcpy", "of_tcp_loopback", "warm_up_seconds", "cpu_seconds_per_gb" }) Assert.True(transfer.GetProperty(number).GetDouble() > 0, number);
            Assert.True(transfer.GetProperty("bytes_copied_per_byte").GetDouble() >= 0);
            AssertPhases(transfer.GetProperty("phases"), placed);
        }
    }

    [Fact]
    public void Small_handoffs_and_figures_are_of_every_transport()
    {
        JsonElement[] rows = [.. run.Summary.GetProperty("latencies").EnumerateArray()];
        Assert.Equal(["tcp", "unix", "shm", "tls", "shm", "tcp"], rows.Select(r => r.GetProperty("transport").GetString()));
        foreach (JsonElement row in rows)
        {
            bool isShortPrompt = row.GetProperty("model").GetString() == "llama-3.3-70b";
            Assert.Equal(isShortPrompt ? 41_943_040 : 393_216, row.GetProperty("bytes").GetInt64());
            Assert.Equal(isShortPrompt ? 18 : 2000, row.GetProperty("handoffs").GetInt32());
            Assert.Equal(isShortPrompt ? 160 : 6, row.GetProperty("frames").GetInt32());
            Assert.InRange(row.GetProperty("p50_us").GetDouble(), 1, row.GetProperty("p99_us").GetDouble());
            Assert.Equal(isShortPrompt, row.TryGetProperty("of_bare", out _));
            Assert.Equal(!isShortPrompt, row.TryGetProperty("allocated_bytes_per_block", out _));
        }

        JsonElement[] figures = [.. run.Summary.GetProperty("figures").EnumerateArray()];
        foreach (JsonElement figure in figures)
        {
            double value = figure.GetProperty("value").GetDouble(), target = figure.GetProperty("target").GetDouble();
            Assert.Equal(figure.GetProperty("bound").GetString() == "at least" ? value >= target : value <= target, figure.GetProperty("reached").GetBoolean());
        }

        Assert.All(new[] { "over tcp", "over unix", "over shm", "over tls", "allocated" }, name => Assert.Contains(figures, f => f.GetProperty("name").GetString()!.Contains(name, StringComparison.Ordinal)));
    }

    [Fact]
    public void Limits_environment_and_projection_have_their_fields()
    {
        Assert.Equal("kvhandoff.bench/1", run.Summary.GetProperty("schema").GetString());
        JsonElement limits = run.Summary.GetProperty("limits");
        foreach (string limit in new[] { "memcpy", "read", "tcp_loopback" })
        {
            Assert.True(limits.GetProperty(limit + "_gbps").GetDouble() > 0);
            Assert.Equal(5, limits.GetProperty(limit + "_samples").GetArrayLength());
        }

        string[] absent = [.. limits.GetProperty("absent").EnumerateArray().Select(a => a.GetProperty("limit").GetString()!)];
        foreach (string limit in new[] { "unix_loopback", "tls_loopback", "bare_tcp", "bare_unix", "iperf3" })
        {
            JsonElement value = limits.GetProperty(limit + "_gbps");
            // What is not there is null, with a reason.
            Assert.Equal(value.ValueKind == JsonValueKind.Null, absent.Contains(limit));
            if (value.ValueKind == JsonValueKind.Number) Assert.InRange(value.GetDouble(), 0.01, 1000);
        }

        Assert.DoesNotContain("unix_loopback", absent);
        JsonElement environment = run.Summary.GetProperty("environment");
        foreach (string field in new[] { "cpu", "os", "dotnet", "isa", "version", "time" }) Assert.NotEmpty(environment.GetProperty(field).GetString()!);
        Assert.Equal(Environment.ProcessorCount, environment.GetProperty("cores").GetInt32());
        JsonElement[] projection = [.. run.Summary.GetProperty("projection").EnumerateArray()];
        Assert.Equal([10, 25, 100, 400, 800, 1200, 3200], projection.Select(p => p.GetProperty("gbit").GetInt32()).Distinct());
        Assert.All(projection, p =>
        {
            Assert.NotEmpty(p.GetProperty("prefill_source").GetString()!);
            double wire = p.GetProperty("wire_ms").GetDouble(), exposed = p.GetProperty("exposed_ms").GetDouble();
            Assert.Equal(p.GetProperty("wire_bytes").GetInt64() * 8e-6 / p.GetProperty("gbit").GetInt32(), wire, 6);
            Assert.InRange(exposed, 0, wire);
            Assert.Equal(1 - exposed / wire, p.GetProperty("hidden_share").GetDouble(), 9);
            Assert.True(p.GetProperty("prefill_ms").GetDouble() > 0);
        });
        Assert.Contains(projection, p => p.GetProperty("codec").GetString() == "fp8" && p.GetProperty("tokens").GetInt32() == 3100);
        JsonElement quality = run.Summary.GetProperty("reference").GetProperty("quality");
        Assert.Equal("fp8", quality.GetProperty("codec").GetString());
        Assert.InRange(quality.GetProperty("top1_agreement").GetDouble(), 0.9, 1);
        Assert.InRange(quality.GetProperty("perplexity_change_percent").GetDouble(), -2, 2);
    }

    [Fact]
    public void The_page_is_whole_and_needs_nothing_from_elsewhere()
    {
        XElement page = XDocument.Parse(run.Page["<!DOCTYPE html>".Length..]).Root!;
        Assert.Equal("html", page.Name.LocalName);
        string[] tables = [.. page.Descendants("h2").Select(h => h.Attribute("id")!.Value)];
        Assert.Equal(["limits", "figures", "prompts", "quality", "transfers", "latencies", "prefilled", "phases", "projection"], tables);
        Assert.Equal(tables.Length, page.Descendants("table").Count());
        Assert.All(page.Descendants("table"), table => Assert.NotEmpty(table.Descendants("td")));
        // One bar for each of seven transfers and two prompts.
        Assert.Equal(9, page.Descendants("svg").Count());
        Assert.All(page.Descendants("svg"), bar => Assert.NotEmpty(bar.Descendants("rect")));
        Assert.DoesNotContain("://", run.Page);
        Assert.DoesNotContain(page.DescendantsAndSelf(), e => e.Name.LocalName is "script" or "link" or "img" or "iframe" || e.Attribute("src") is not null || e.Attribute("href") is not null);
    }

    [Fact]
    public void The_page_can_be_made_again_from_the_summary()
    {
        using var scratch = new ScratchDirectory();
        string summary = scratch.File("summary.json"), page = scratch.File("page.html");
        File.WriteAllText(summary, run.Json);
        (int code, _, string errors) = BenchProgram.Run("report", "--from", summary, "--output", page);
        Assert.True(code == 0, errors);
        Assert.Equal(run.Page, File.ReadAllText(page));
    }

    private static void AssertPhases(JsonElement phases, bool placed = false)
    {
        Assert.Equal(["queue", "reserve", "gather", "encode", "wire", "verify", "place", "commit", "first_attend"], phases.EnumerateObject().Select(p => p.Name));
        Assert.All(phases.EnumerateObject(), p => Assert.True(p.Value.GetDouble() >= 0));
        // Rows that the sender placed do not travel.
        Assert.True(phases.GetProperty(placed ? "place" : "wire").GetDouble() > 0);
        Assert.True(phases.GetProperty("verify").GetDouble() > 0);
    }

    [Fact]
    public void A_cache_prefilled_in_place_is_handed_over_verified_and_on_trust()
    {
        JsonElement[] rows = [.. run.Summary.GetProperty("prefilled").EnumerateArray()];
        Assert.Equal([false, true], rows.Select(r => r.GetProperty("same_host_trust").GetBoolean()));
        foreach (JsonElement row in rows)
        {
            Assert.Equal(131, row.GetProperty("tokens").GetInt32());
            double seconds = row.GetProperty("seconds").GetDouble();
            Assert.Equal(row.GetProperty("bytes").GetInt64() / seconds / 1e9, row.GetProperty("gbps").GetDouble(), 6);
            Assert.Contains(seconds, row.GetProperty("seconds_samples").EnumerateArray().Select(s => s.GetDouble()));
        }

        Assert.Contains("Prefilled straight into the blocks", run.Page);
    }
}
