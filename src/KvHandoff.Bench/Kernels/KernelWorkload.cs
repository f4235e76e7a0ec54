namespace KvHandoff.Bench.Kernels;

/// <summary>What bounds a kernel, run over the same bytes.</summary>
/// <param name="Name">"memcpy", "read", or the kernel that is part of this one.</param>
/// <param name="Run">One pass.</param>
internal sealed record KernelLimit(string Name, Action Run);

/// <summary>
/// One kernel over one set of bytes: what the quick run times and what the BenchmarkDotNet suites time. Nothing is allocated in
/// <see cref="Run"/> but what the kernel itself allocates.
/// </summary>
internal abstract class KernelWorkload : IDisposable
{
    /// <summary>What bounds the kernel; where there are several the slowest does.</summary>
    internal abstract IReadOnlyList<KernelLimit> Limits { get; }

    /// <summary>Uncompressed over encoded bytes; null for kernels that do not compress.</summary>
    internal virtual double? CompressionRatio => null;

    /// <summary>One pass over all bytes.</summary>
    internal abstract void Run();

    /// <summary>After a pass: null when its output is right, else what is wrong. A fast kernel that is wrong is no result.</summary>
    internal abstract string? Check();

    public virtual void Dispose()
    {
    }
}
