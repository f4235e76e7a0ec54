namespace KvHandoff.Bench.Kernels;

/// <summary>Where a kernel's bytes lie when it runs.</summary>
public enum KernelSize
{
    /// <summary>256 KiB read again and again: input and output stay in the second-level cache.</summary>
    Cache,

    /// <summary>256 MiB: several times any last-level cache, so that every byte comes from memory.</summary>
    Memory,

    /// <summary>As in cache, in segments of 37 tokens and, where the rows are synthesised, of head dimension 80: nothing is a whole number of vectors.</summary>
    Odd,
}

/// <summary>How many rows of which length a kernel works on, in segments as a handoff cuts them.</summary>
/// <param name="Size">Where they lie.</param>
/// <param name="Tokens">Rows of one segment.</param>
/// <param name="HeadDim">BF16 elements of a row.</param>
/// <param name="Segments">Segments, laid end to end.</param>
internal readonly record struct KernelShape(KernelSize Size, int Tokens, int HeadDim, int Segments)
{
    internal const int CacheBytes = 256 << 10, MemoryBytes = 256 << 20;

    private const int GranuleTokens = 64, OddTokens = 37, OddHeadDim = 80;

    internal int RowBytes => HeadDim * sizeof(ushort);

    internal int SegmentBytes => Tokens * RowBytes;

    internal long Bytes => (long)Segments * SegmentBytes;

    internal static KernelShape Of(KernelSize size, int headDim, bool anyHeadDim)
    {
        int tokens = size == KernelSize.Odd ? OddTokens : GranuleTokens, dim = size == KernelSize.Odd && anyHeadDim ? OddHeadDim : headDim;
        int bytes = size == KernelSize.Memory ? MemoryBytes : CacheBytes;
        return new KernelShape(size, tokens, dim, bytes / (tokens * dim * sizeof(ushort)));
    }

    /// <summary>As results name it.</summary>
    internal static string NameOf(KernelSize size) => size switch
    {
        KernelSize.Cache => "cache, 256 KiB",
        KernelSize.Memory => "memory, 256 MiB",
        _ => "cache, 37 tokens",
    };
}
