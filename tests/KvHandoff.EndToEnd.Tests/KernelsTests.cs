using System.Text.Json;
using KvHandoff.Bench.Kernels;
using KvHandoff.Numerics;

namespace KvHandoff.EndToEnd.Tests;

/// <summary><c>kernels --quick</c>: what it writes, and that every kernel it times gives the right bytes. No rate is judged.</summary>
public sealed class KernelsTests
{
    public static TheoryData<string, KernelSize> Small
    {
        get
        {
            var data = new TheoryData<string, KernelSize>();
            foreach (KernelDefinition kernel in KernelCatalog.All)
            {
                data.Add(kernel.BaseName, KernelSize.Cache);
                data.Add(kernel.BaseName, KernelSize.Odd);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Small))]
    public void Every_kernel_gives_the_right_output(string name, KernelSize size)
    {
        KernelDefinition kernel = KernelCatalog.Find(name);
        using var buffers = new KernelBuffers(KernelSize.Cache);
        using KernelWorkload work = kernel.Create(buffers, size);
        work.Run();
        Assert.NotEmpty(work.Limits);
        Assert.All(work.Limits, limit => limit.Run());
        work.Run();
        Assert.Null(work.Check());
        Assert.InRange(kernel.CountedBytes(size), 1, KernelShape.CacheBytes);
    }

    [Fact]
    public void Names_are_unique_and_every_kernel_belongs_to_a_suite()
    {
        string[] names = [.. KernelCatalog.All.SelectMany(k => Enum.GetValues<KernelSize>().Select(k.Name))];
        Assert.Equal(names.Length, names.Distinct().Count());
        KernelSuite[] suites = [new PackBenchmarks(), new UnpackBenchmarks(), new GatherBenchmarks(), new FusedBenchmarks(), new ChecksumBenchmarks(),
            new ExponentWindowBenchmarks(), new Lz4Benchmarks()];
        Assert.Equal(KernelCatalog.All.Select(k => k.BaseName), suites.SelectMany(s => s.Kernels));
    }

    [Fact]
    public void Quick_writes_every_field_of_a_kernel()
    {
        using var scratch = new ScratchDirectory();
        string json = scratch.File("kernels.json");
        (int code, string output, string errors) = BenchProgram.Run("kernels", "--quick", "--filter", "CRC-32C", "--json", json, "--output", scratch.File("out"));
        Assert.True(code == 0, $"Exit code {code}. {output}{errors}");
        Assert.Equal(File.ReadAllText(json), File.ReadAllText(Path.Combine(scratch.File("out"), "kernels.json")));
        JsonElement root = JsonDocument.Parse(File.ReadAllText(json)).RootElement;
        Assert.Equal("kvhandoff.bench/1", root.GetProperty("schema").GetString());
        Assert.Equal("kernels", root.GetProperty("command").GetString());
        Assert.NotEmpty(root.GetProperty("environment").GetProperty("cpu").GetString()!);
        Assert.Contains(root.GetProperty("clock").GetString(), new[] { "thread-cpu", "wall" });
        JsonElement[] kernels = [.. root.GetProperty("kernels").EnumerateArray()];
        string[] expected = [.. KernelCatalog.All.Where(k => k.BaseName.Contains("crc-32c", StringComparison.Ordinal)).SelectMany(k => new[] { k.Name(KernelSize.Cache), k.Name(KernelSize.Memory) })];
        Assert.Equal(expected, kernels.Select(k => k.GetProperty("name").GetString()));
        Assert.Contains("crc-32c in cache", expected);
        Assert.Contains("crc-32c from memory", expected);
        foreach (JsonElement kernel in kernels)
        {
            string name = kernel.GetProperty("name").GetString()!;
            Assert.Equal(InstructionSet.Name, kernel.GetProperty("isa").GetString());
            Assert.Equal(InstructionSet.VectorBits, kernel.GetProperty("vector_bits").GetInt32());
            Assert.False(kernel.TryGetProperty("attention", out _), name);
            Assert.Equal("c#", kernel.GetProperty("implementation").GetString());
            Assert.Equal("read", kernel.GetProperty("limit").GetString());
            double gbps = kernel.GetProperty("gbps").GetDouble(), limit = kernel.GetProperty("limit_gbps").GetDouble();
            Assert.True(gbps > 0 && limit > 0, name);
            Assert.Equal(gbps / limit, kernel.GetProperty("ratio").GetDouble(), 9);
            Assert.Equal(0, kernel.GetProperty("allocated_bytes").GetInt64());
            Assert.Equal(name.EndsWith("memory", StringComparison.Ordinal) ? 256 << 20 : 256 << 10, kernel.GetProperty("counted_bytes").GetInt64());
            foreach (string text in new[] { "counts", "working_set", "data" }) Assert.NotEmpty(kernel.GetProperty(text).GetString()!);
            Assert.True(kernel.GetProperty("gbps_samples").GetArrayLength() >= 5, name);
            Assert.Equal(kernel.GetProperty("gbps_samples").GetArrayLength(), kernel.GetProperty("limit_gbps_samples").GetArrayLength());
        }
    }

    [Theory]
    [InlineData("exponent-window encode, model K")]
    [InlineData("exponent-window encode, model V")]
    public void The_exponent_window_shrinks_the_models_cache_as_promised(string name)
    {
        using var buffers = new KernelBuffers(KernelSize.Cache);
        using KernelWorkload work = KernelCatalog.Find(name).Create(buffers, KernelSize.Cache);
        work.Run();
        Assert.InRange(work.CompressionRatio ?? 0, 1.38, 1.53);
    }

    [Fact]
    public void BenchmarkDotNet_arguments_pass_through()
    {
        (int code, string output, string errors) = BenchProgram.Run("kernels", "--list", "flat", "--filter", "*Pack*", "*Checksum*");
        Assert.True(code == 0, errors);
        Assert.Contains("PackBenchmarks.Run", output, StringComparison.Ordinal);
        Assert.Contains("UnpackBenchmarks.Memcpy", output, StringComparison.Ordinal);
        Assert.Contains("ChecksumBenchmarks.Run", output, StringComparison.Ordinal);
        Assert.DoesNotContain("AttentionBenchmarks", output, StringComparison.Ordinal);
    }
}
