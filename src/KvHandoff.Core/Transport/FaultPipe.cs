using System.Buffers;
using System.IO.Pipelines;

namespace KvHandoff.Transport;

/// <summary>A control pipe whose flushes are messages that suffer what the plan of the connection says.</summary>
internal sealed class FaultPipe(FaultConnection connection, IDuplexPipe inner) : IDuplexPipe
{
    public PipeReader Input => inner.Input;

    public PipeWriter Output { get; } = new Writer(connection, inner.Output);

    /// <summary>Collects one flush, so that what reaches the pipe below is a message with its fault.</summary>
    private sealed class Writer(FaultConnection connection, PipeWriter inner) : PipeWriter
    {
        private readonly ArrayBufferWriter<byte> _message = new();
        private FlushResult _flushed;

        public override bool CanGetUnflushedBytes => true;

        public override long UnflushedBytes => _message.WrittenCount;

        public override void Advance(int bytes) => _message.Advance(bytes);

        public override Memory<byte> GetMemory(int sizeHint = 0) => _message.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => _message.GetSpan(sizeHint);

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            byte[] message = _message.WrittenSpan.ToArray();
            _message.Clear();
            if (message.Length == 0) return await inner.FlushAsync(cancellationToken).ConfigureAwait(false);
            _flushed = default;
            TransportResult sent = await connection.SendAsync(message, connection.Next(message.Length), async bytes =>
            {
                _flushed = await inner.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
                return TransportResult.Ok;
            }).ConfigureAwait(false);
            // Completing the output is how a pipe ends its stream: what was written goes out first.
            if (connection.IsEnded) await inner.CompleteAsync().ConfigureAwait(false);
            return sent.IsOk ? _flushed : throw new TransportException(sent.Status, sent.Message!);
        }

        public override void Complete(Exception? exception = null)
        {
            // As in any pipe, what was written and not flushed goes with the end; it is no message of its own.
            if (exception is null && !connection.IsEnded && _message.WrittenCount > 0) inner.Write(_message.WrittenSpan);
            _message.Clear();
            inner.Complete(exception);
        }
    }
}
