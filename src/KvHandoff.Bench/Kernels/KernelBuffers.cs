using KvHandoff.Bench.Limits;
using KvHandoff.Memory;

namespace KvHandoff.Bench.Kernels;

/// <summary>The memory that kernels share: rows to read, and two places to write. Made when first asked for.</summary>
internal sealed class KernelBuffers(KernelSize largest) : IDisposable
{
    // Codecs state the most they may write; what they do write is less.
    private const int SlackBytes = 16 << 20;

    private readonly Dictionary<(RowSource, int), NativeSlab> _rows = [];
    private NativeSlab? _target, _codes;

    /// <summary>Where decoded rows go, and copies.</summary>
    internal NativeSlab Target => _target ??= Allocate(1);

    /// <summary>Where encoded rows go.</summary>
    internal NativeSlab Codes => _codes ??= Allocate(2);

    /// <summary>At least <see cref="KernelShape.Bytes"/> bytes of rows.</summary>
    internal NativeSlab Rows(RowSource source, in KernelShape shape)
    {
        if (_rows.TryGetValue((source, shape.HeadDim), out NativeSlab? rows) && rows.LengthBytes >= shape.Bytes) return rows;
        rows?.Dispose();
        KernelShape whole = KernelShape.Of(largest, shape.HeadDim, anyHeadDim: false);
        rows = NativeSlab.Allocate(Math.Max(shape.Bytes, whole.Bytes));
        KernelRows.Fill(source, rows, shape.HeadDim);
        return _rows[(source, shape.HeadDim)] = rows;
    }

    /// <summary>Copying as many bytes, from the buffer of <paramref name="source"/>, whatever the kernel makes of them.</summary>
    internal KernelLimit Memcpy(NativeSlab source, long bytes)
    {
        NativeSlab target = Target;
        return new KernelLimit("memcpy", () => source.Span(0, (int)bytes).CopyTo(target.Span(0, (int)bytes)));
    }

    /// <summary>Reading as many bytes.</summary>
    internal static KernelLimit Read(NativeSlab source, long bytes)
    {
        ulong sum = 0;
        return new KernelLimit("read", () => sum += MemoryLimits.Sum(source.Span(0, (int)bytes)));
    }

    public void Dispose()
    {
        foreach (NativeSlab rows in _rows.Values) rows.Dispose();
        _target?.Dispose();
        _codes?.Dispose();
    }

    private static NativeSlab Allocate(byte fill)
    {
        NativeSlab slab = NativeSlab.Allocate(KernelShape.MemoryBytes + SlackBytes);
        // Written once, so that no page is mapped while the clock runs.
        slab.Fill(fill);
        return slab;
    }
}
