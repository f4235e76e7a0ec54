using System.Text.Json;
using KvHandoff.Attention;
using KvHandoff.Bench.DecodeAttention;
using KvHandoff.Bench.Kernels;
using KvHandoff.Numerics;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The attention part of <c>kernels</c>: what it writes, and that every step it times gives the right output. No rate is judged.</summary>
public sealed class AttentionRowsTests
{
    // Two tiles and a part of one, so that rows with scales have a tail.
    private const int Tokens = 165;

    public static TheoryData<string, string> Combinations
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (string shape in AttentionBenchmarks.Shapes)
                foreach (string stored in AttentionBenchmarks.Forms) data.Add(shape, stored);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void Every_step_of_the_suite_gives_the_right_output(string shape, string stored)
    {
        using var buffers = new KernelBuffers(KernelSize.Cache);
        var one = new AttentionCase(AttentionShape.All.Single(s => s.Name == shape), StoredKind.All.Single(s => s.Name == stored), Tokens);
        using var rows = new BlockRows(buffers, one.Group, Tokens);
        AttentionReference reference = AttentionReference.OfStored(one, rows), source = AttentionReference.OfSource(one, buffers, Tokens);
        foreach (AttentionCase what in new[] { one, one with { Threads = 2 } })
        {
            AttentionStep[] steps = AttentionRun.StepsOf(what, rows);
            Assert.StartsWith("managed", steps[^1].Implementation, StringComparison.Ordinal);
            foreach (AttentionStep step in steps)
            {
                step.Run();
                Assert.InRange(reference.Error(step.Output), 0, 1e-3);
                // The rows themselves are not what the cache holds: a kernel that had its scales wrong would be further off.
                Assert.InRange(source.Error(step.Output), 0, one.Stored.IsQuantised ? 1 : 1e-3);
                step.Output.AsSpan().Clear();
            }
        }
    }

    [Fact]
    public void An_output_that_is_off_is_noticed()
    {
        using var buffers = new KernelBuffers(KernelSize.Cache);
        var what = new AttentionCase(AttentionShape.Grouped8, StoredKind.BFloat16, Tokens);
        using var rows = new BlockRows(buffers, what.Group, Tokens);
        AttentionStep step = AttentionRun.StepsOf(what, rows)[0];
        AttentionReference reference = AttentionReference.OfStored(what, rows);
        step.Run();
        step.Output[0] += 0.01f * step.Output.Max(MathF.Abs);
        Assert.InRange(reference.Error(step.Output), 1e-3, 1);
        step.Output[^1] = float.NaN;
        Assert.True(double.IsNaN(reference.Error(step.Output)));
    }

    [Fact]
    public void The_quick_run_has_every_form_and_length_under_its_own_name()
    {
        IReadOnlyList<AttentionCase> quick = AttentionCatalog.Quick;
        Assert.Equal(quick.Count, quick.Select(c => c.Name).Distinct().Count());
        foreach (StoredKind stored in StoredKind.All) Assert.Contains($"attention {stored.Name} 64/8/128 64K 1 thread", quick.Select(c => c.Name));
        foreach (string name in new[] { "bf16 64/8/128 1K 1 thread", "bf16 64/8/128 8K 1 thread", "bf16 32/8/128 64K 1 thread", "bf16 MLA 128 heads 64K 1 thread", "int8 64/8/128 64K 2 threads" })
            Assert.Contains("attention " + name, quick.Select(c => c.Name));
    }

    [Fact]
    public void Multiply_adds_and_bytes_are_those_of_the_step()
    {
        var plain = new AttentionCase(AttentionShape.Grouped8, StoredKind.BFloat16, 1024);
        Assert.Equal(1024L * 8 * 128 * 2 * 2, plain.Bytes);
        Assert.Equal(1024L * 64 * 128 * 2, plain.MultiplyAdds);
        // A factor of fp32 for every row of 128.
        Assert.Equal(1024L * 8 * 2 * (128 + 4), (plain with { Stored = StoredKind.Fp8TokenHead }).Bytes);
        var latent = new AttentionCase(AttentionShape.Latent, StoredKind.BFloat16, 1024);
        Assert.Equal(1024L * 576 * 2, latent.Bytes);
        Assert.Equal(1024L * 128 * (576 + 512), latent.MultiplyAdds);
    }

    [Fact]
    public void Quick_writes_every_field_of_an_attention_row()
    {
        using var scratch = new ScratchDirectory();
        string json = scratch.File("kernels.json");
        (int code, string output, string errors) = BenchProgram.Run("kernels", "--quick", "--filter", "e4m3 token-head 64/8/128 64K 1", "--json", json, "--output", scratch.File("out"));
        Assert.True(code == 0, $"Exit code {code}. {output}{errors}");
        Assert.Contains(AttentionKernels.InUse + " in use", output, StringComparison.Ordinal);
        Assert.Contains("id=\"roofline\"", File.ReadAllText(Path.Combine(scratch.File("out"), "kernels.html")), StringComparison.Ordinal);
        JsonElement root = JsonDocument.Parse(File.ReadAllText(json)).RootElement, section = root.GetProperty("attention");
        Assert.Equal(AttentionKernels.InUse, section.GetProperty("in_use").GetString());
        Assert.Equal(AttentionKernels.NativeTargets.Select(t => t.Name), section.GetProperty("native_targets").EnumerateArray().Select(t => t.GetProperty("name").GetString()));
        Assert.Equal(AttentionKernels.ReasonManaged is not null, section.TryGetProperty("reason_managed", out _));

        JsonElement[] rows = [.. root.GetProperty("kernels").EnumerateArray()];
        Assert.Equal(AttentionStep.HasNative ? ["native", "managed"] : ["managed"], rows.Select(r => r.GetProperty("implementation").GetString()!.Split(' ')[0]));
        foreach (JsonElement row in rows)
        {
            Assert.Equal("attention e4m3 token-head 64/8/128 64K 1 thread", row.GetProperty("name").GetString());
            Assert.Equal(InstructionSet.Name, row.GetProperty("isa").GetString());
            Assert.Contains(row.GetProperty("limit").GetString(), new[] { "read", "fma" });
            Assert.Equal(0, row.GetProperty("allocated_bytes").GetInt64());
            Assert.Equal(65536L * 8 * 2 * (128 + 4), row.GetProperty("counted_bytes").GetInt64());
            double gbps = row.GetProperty("gbps").GetDouble();
            Assert.Equal(gbps / row.GetProperty("limit_gbps").GetDouble(), row.GetProperty("ratio").GetDouble(), 9);
            JsonElement figures = row.GetProperty("attention");
            Assert.Equal(65536L * 8 * 2 * (128 + 4) / gbps / 65536, figures.GetProperty("nanoseconds_per_token").GetDouble(), 3);
            Assert.Equal(gbps / figures.GetProperty("read_gbps").GetDouble(), figures.GetProperty("of_read").GetDouble(), 9);
            Assert.Equal(figures.GetProperty("giga_multiply_adds").GetDouble() / figures.GetProperty("peak_giga_multiply_adds").GetDouble(), figures.GetProperty("of_peak").GetDouble(), 9);
            Assert.InRange(figures.GetProperty("max_error").GetDouble(), 1e-9, 1e-4);
            Assert.InRange(figures.GetProperty("max_error_with_quantisation").GetDouble(), 1e-4, 1);
            Assert.Equal(AttentionStep.HasNative, figures.TryGetProperty("of_native_bf16", out _));
        }
    }

    [Fact]
    public void A_baseline_that_is_not_there_is_named_by_its_variable_alone()
    {
        string? before = Environment.GetEnvironmentVariable(TorchBaseline.Variable);
        try
        {
            Environment.SetEnvironmentVariable(TorchBaseline.Variable, null);
            Assert.Null(TorchBaseline.TryLoad(out string? reason));
            Assert.Equal("KVHANDOFF_TORCH_BASELINE is not set", reason);
            Environment.SetEnvironmentVariable(TorchBaseline.Variable, "/nowhere/libnothing.so");
            Assert.Null(TorchBaseline.TryLoad(out reason));
            Assert.Equal("KVHANDOFF_TORCH_BASELINE names no library that can be loaded", reason);
        }
        finally
        {
            Environment.SetEnvironmentVariable(TorchBaseline.Variable, before);
        }
    }
}
