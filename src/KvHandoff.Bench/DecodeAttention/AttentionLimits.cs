using KvHandoff.Attention;
using KvHandoff.Bench.Limits;
using KvHandoff.Memory;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>What bounds a step on so many threads: reading as many bytes of the same memory, and multiply-adds on registers.</summary>
internal sealed class AttentionLimits
{
    // A step is split into as many parts at most; a few more than threads, so that one which is late does not keep the others waiting.
    private const int ReadParts = 64, PeakParts = 8, SumStride = 8;

    private readonly NativeSlab _memory;
    private readonly AttentionThreads? _threads;
    private readonly ulong[] _sums;
    private readonly int _partBytes, _bytes;
    private readonly Action<int, int> _read, _multiply;
    private float _product;

    internal AttentionLimits(NativeSlab memory, long bytes, int threads)
    {
        _memory = memory;
        _bytes = (int)bytes;
        _threads = threads > 1 ? new AttentionThreads(threads) : null;
        _partBytes = (_bytes + ReadParts - 1) / ReadParts;
        _sums = new ulong[threads * SumStride];
        _read = (worker, part) => _sums[worker * SumStride] += MemoryLimits.Sum(_memory.Span((long)part * _partBytes, Math.Clamp(_bytes - part * _partBytes, 0, _partBytes)));
        _multiply = (_, _) => _product = MultiplyAddPeak.Run();
    }

    /// <summary>Multiply-adds of <see cref="Multiply"/>.</summary>
    internal long MultiplyAdds => MultiplyAddPeak.PerPass * (_threads is null ? 1 : PeakParts);

    /// <summary>What was computed, so that nothing of it can be left out.</summary>
    internal double Sum => _sums.Sum(s => (double)s) + _product;

    internal void Read()
    {
        if (_threads is null) _sums[0] += MemoryLimits.Sum(_memory.Span(0, _bytes));
        else _threads.Run(ReadParts, _read);
    }

    internal void Multiply()
    {
        if (_threads is null) _product = MultiplyAddPeak.Run();
        else _threads.Run(PeakParts, _multiply);
    }
}
