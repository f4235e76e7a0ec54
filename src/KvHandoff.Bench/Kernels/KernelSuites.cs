using BenchmarkDotNet.Attributes;

namespace KvHandoff.Bench.Kernels;

/// <summary>The BenchmarkDotNet form of the kernels of one group: each over each working set, beside a copy of the bytes that it counts.</summary>
[MemoryDiagnoser]
public abstract class KernelSuite
{
    private readonly string _group;
    private KernelBuffers? _buffers;
    private KernelWorkload? _workload;
    private Action _copy = () => { };

    private protected KernelSuite(string group) => _group = group;

    /// <summary>Name of the kernel.</summary>
    [ParamsSource(nameof(Kernels))]
    public string Kernel { get; set; } = "";

    /// <summary>Where its bytes lie.</summary>
    [ParamsAllValues]
    public KernelSize WorkingSet { get; set; }

    /// <summary>The kernels of the group.</summary>
    public IEnumerable<string> Kernels => KernelCatalog.OfGroup(_group).Select(k => k.BaseName);

    /// <summary>Makes the data; nothing is measured on zeros.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        _buffers = new KernelBuffers(WorkingSet);
        KernelDefinition kernel = KernelCatalog.Find(Kernel);
        _workload = kernel.Create(_buffers, WorkingSet);
        _copy = _buffers.Memcpy(_buffers.Codes, kernel.CountedBytes(WorkingSet)).Run;
        _workload.Run();
    }

    /// <summary>Frees the data.</summary>
    [GlobalCleanup]
    public void CleanUp()
    {
        _workload?.Dispose();
        _buffers?.Dispose();
    }

    /// <summary>A copy of as many bytes as the kernel counts.</summary>
    [Benchmark(Baseline = true)]
    public void Memcpy() => _copy();

    /// <summary>The kernel.</summary>
    [Benchmark]
    public void Run() => _workload!.Run();
}

/// <summary>BF16 rows to 8-bit codes and scales.</summary>
public class PackBenchmarks() : KernelSuite("pack");

/// <summary>8-bit codes and scales to BF16 rows.</summary>
public class UnpackBenchmarks() : KernelSuite("unpack");

/// <summary>Rows between an engine's blocks and canonical order.</summary>
public class GatherBenchmarks() : KernelSuite("gather");

/// <summary>The pass that a sender makes.</summary>
public class FusedBenchmarks() : KernelSuite("fused");

/// <summary>CRC-32C.</summary>
public class ChecksumBenchmarks() : KernelSuite("checksum");

/// <summary>Lossless coding of BF16 exponents.</summary>
public class ExponentWindowBenchmarks() : KernelSuite("exponent-window");

/// <summary>LZ4.</summary>
public class Lz4Benchmarks() : KernelSuite("lz4");
