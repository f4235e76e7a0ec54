using System.Diagnostics;
using KvHandoff.Memory;

namespace KvHandoff.Bench.Limits;

/// <summary>memcpy on one thread, from one buffer larger than the caches to another.</summary>
internal sealed class CopyLoop : BareLoop
{
    private readonly NativeSlab _source = NativeSlab.Allocate(BufferBytes), _target = NativeSlab.Allocate(BufferBytes);

    internal CopyLoop()
    {
        MemoryLimits.FillWithNoise(_source.Span(0, BufferBytes));
        _target.Fill(0x5A);
    }

    internal override string Name => "memcpy";

    internal override Task<double> SecondsAsync(long bytes, CancellationToken cancellationToken) => Task.Run(() =>
    {
        long start = Stopwatch.GetTimestamp();
        for (long done = 0; done < bytes;)
        {
            long offset = done % BufferBytes;
            int step = (int)Math.Min(BufferBytes - offset, bytes - done);
            _source.Span(offset, step).CopyTo(_target.Span(offset, step));
            done += step;
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }, cancellationToken);

    public override ValueTask DisposeAsync()
    {
        _source.Dispose();
        _target.Dispose();
        return ValueTask.CompletedTask;
    }
}
