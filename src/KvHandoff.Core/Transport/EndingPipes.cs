using System.IO.Pipelines;

namespace KvHandoff.Transport;

/// <summary>A reader whose completion can be waited for: a fill loop that waits for the socket has no other way to hear of it.</summary>
internal sealed class EndingReader(PipeReader inner) : PipeReader
{
    private readonly CancellationTokenSource _completed = new();

    public CancellationToken Completed => _completed.Token;

    public override void Complete(Exception? exception = null)
    {
        inner.Complete(exception);
        _completed.Cancel();
    }

    public override void AdvanceTo(SequencePosition consumed) => inner.AdvanceTo(consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => inner.AdvanceTo(consumed, examined);

    public override void CancelPendingRead() => inner.CancelPendingRead();

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => inner.ReadAsync(cancellationToken);

    public override bool TryRead(out ReadResult result) => inner.TryRead(out result);
}

/// <summary>A writer that remembers whether it was completed.</summary>
internal sealed class EndingWriter(PipeWriter inner) : PipeWriter
{
    private volatile bool _completed;

    public bool IsCompleted => _completed;

    public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

    public override long UnflushedBytes => inner.UnflushedBytes;

    public override void Complete(Exception? exception = null)
    {
        _completed = true;
        inner.Complete(exception);
    }

    public override void Advance(int bytes) => inner.Advance(bytes);

    public override void CancelPendingFlush() => inner.CancelPendingFlush();

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => inner.FlushAsync(cancellationToken);

    public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);
}
