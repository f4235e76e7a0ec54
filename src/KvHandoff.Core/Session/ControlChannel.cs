using System.IO.Pipelines;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>The control connection of one peer: messages in, messages out, one at a time.</summary>
internal sealed class ControlChannel(IConnection connection) : IAsyncDisposable
{
    private readonly IDuplexPipe _pipe = connection.AsPipe();
    private readonly SemaphoreSlim _writing = new(1, 1);

    /// <summary>The connection underneath, for what it can do beside messages.</summary>
    internal IConnection Connection => connection;

    /// <summary>Whether a thread that waits for a message may take it off the connection by itself.</summary>
    internal bool CanPump => _pipe is ControlPipe { CanPump: true };

    /// <summary>Lets the reading side handle what has come, on the calling thread.</summary>
    internal bool TryPump() => _pipe is ControlPipe pipe && pipe.TryPump();

    /// <summary>The calling thread waits for messages no longer.</summary>
    internal void StopPumping() => (_pipe as ControlPipe)?.StopPumping();

    internal string Description => connection.Description;

    /// <summary>Sends one message; false when the connection is gone, which the reading side reports.</summary>
    internal async ValueTask<bool> SendAsync(ControlMessage message, CancellationToken cancellationToken = default)
    {
        try
        {
            await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            return false;
        }

        try
        {
            await ControlWriter.WriteAsync(_pipe.Output, message, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is InvalidOperationException or IOException or TransportException or ObjectDisposedException)
        {
            // The pipe was completed under us: the connection ended.
            return false;
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>The next message, an error, or neither at the end of the stream, orderly or not.</summary>
    internal async ValueTask<ControlReadResult> ReadAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await ControlReader.ReadAsync(_pipe.Input, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TransportException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The stream broke, or the pipe was completed under us: no more messages come.
            return default;
        }
    }

    /// <summary>Wakes both directions; the reader then sees the end of the stream.</summary>
    internal void Abort() => connection.Abort();

    public async ValueTask DisposeAsync()
    {
        // Completing the output lets the transport flush what was written before the socket closes.
        await _pipe.Output.CompleteAsync().ConfigureAwait(false);
        await _pipe.Input.CompleteAsync().ConfigureAwait(false);
        await connection.DisposeAsync().ConfigureAwait(false);
    }
}
