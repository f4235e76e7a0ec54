using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Running;
using KvHandoff.Bench.Kernels;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>The BenchmarkDotNet form of decode attention: every shape, form of rows, length, number of threads and implementation, beside reading the same bytes.</summary>
[MemoryDiagnoser]
public class AttentionBenchmarks
{
    private const string Native = "native", Managed = "managed";

    private KernelBuffers? _buffers;
    private BlockRows? _rows;
    private Action _read = () => { }, _attend = () => { };

    /// <summary>Query heads/kv heads/dimension, or MLA.</summary>
    [ParamsSource(nameof(Shapes))]
    public string Shape { get; set; } = "";

    /// <summary>How rows are stored.</summary>
    [ParamsSource(nameof(Forms))]
    public string Stored { get; set; } = "";

    /// <summary>Cached tokens.</summary>
    [ParamsSource(nameof(Lengths))]
    public int Tokens { get; set; }

    /// <summary>Threads of one step.</summary>
    [Params(1, 2)]
    public int Threads { get; set; }

    /// <summary>Native or managed kernels.</summary>
    [ParamsSource(nameof(Implementations))]
    public string Code { get; set; } = "";

    /// <summary>All shapes.</summary>
    public static IEnumerable<string> Shapes => AttentionShape.All.Select(s => s.Name);

    /// <summary>All forms.</summary>
    public static IEnumerable<string> Forms => StoredKind.All.Select(s => s.Name);

    /// <summary>All lengths.</summary>
    public static IEnumerable<int> Lengths => AttentionCatalog.Lengths;

    /// <summary>Those that this process has.</summary>
    public static IEnumerable<string> Implementations => AttentionStep.HasNative ? [Native, Managed] : [Managed];

    /// <summary>Makes the data; nothing is measured on zeros.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        AttentionCase what = CaseOf(Shape, Stored, Tokens, Threads);
        // Rows are made in the number that the step needs.
        _buffers = new KernelBuffers(KernelSize.Cache);
        _rows = new BlockRows(_buffers, what.Group, Tokens);
        _read = new AttentionLimits(_rows.Memory, what.Bytes, Threads).Read;
        _attend = new AttentionStep(what, _rows, Code == Native).Run;
        _attend();
    }

    /// <summary>Frees the data.</summary>
    [GlobalCleanup]
    public void CleanUp()
    {
        _rows?.Dispose();
        _buffers?.Dispose();
    }

    /// <summary>Reading as many bytes of the same memory on as many threads.</summary>
    [Benchmark(Baseline = true)]
    public void Read() => _read();

    /// <summary>The step.</summary>
    [Benchmark]
    public void Attend() => _attend();

    /// <summary>Bytes that the step of a benchmark reads.</summary>
    internal static long CountedBytes(BenchmarkCase benchmark)
    {
        object Value(string name) => benchmark.Parameters[name];
        return CaseOf((string)Value(nameof(Shape)), (string)Value(nameof(Stored)), (int)Value(nameof(Tokens)), (int)Value(nameof(Threads))).Bytes;
    }

    private static AttentionCase CaseOf(string shape, string stored, int tokens, int threads) =>
        new(AttentionShape.All.Single(s => s.Name == shape), StoredKind.All.Single(s => s.Name == stored), tokens, threads);
}
