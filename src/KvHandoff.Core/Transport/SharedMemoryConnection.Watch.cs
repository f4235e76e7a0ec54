using System.Net.Sockets;

namespace KvHandoff.Transport;

/// <summary>The liveness of the peer, and the bells that wake asynchronous calls: both come by the bootstrap socket.</summary>
internal sealed partial class SharedMemoryConnection
{
    private readonly TaskCompletionSource _peerGone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SharedMemoryBell _bell = new();
    private readonly CancellationTokenSource _socketEnded = new();

    // The watcher and the open connection each keep the socket; the last one closes it.
    private int _socketHolders = 2;

    private void StartWatching()
    {
        SharedMemoryPeerCredentials peer = SharedMemorySocket.Peer(_socket);
        int process = SharedMemorySocket.OpenPeerProcess(_socket, peer.ProcessId);
        _ = WatchSocketAsync();
        if (process >= 0) _ = WatchProcessAsync(process);
    }

    /// <summary>
    /// Our own shutdown ends the watch. A side that shares regions only says that it has left, and goes on until the peer has closed:
    /// that close is what <see cref="PeerGone"/> waits for.
    /// </summary>
    private void StopWatching()
    {
        try
        {
            _socket.Shutdown(_outlivesDisposal ? SocketShutdown.Send : SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // Not connected any more: the watcher has seen it, or is about to.
        }
        LeaveSocket();
    }

    private async Task WatchSocketAsync()
    {
        while (true)
        {
            int bells = SharedMemorySocket.TakeBells(_descriptor);
            if (bells == 0) break;
            if (bells > 0) _bell.Signal();
            else await WaitReadableAsync(_descriptor, CancellationToken.None).ConfigureAwait(false);
        }
        OnPeerLeft();
        _peerGone.TrySetResult();
        await _socketEnded.CancelAsync().ConfigureAwait(false);
        LeaveSocket();
    }

    /// <summary>
    /// Ends blocked calls when the process has died while another one, a child of it, still holds the socket. <see cref="PeerGone"/> stays open
    /// then: the child may hold the mapping too.
    /// </summary>
    private async Task WatchProcessAsync(int process)
    {
        try
        {
            await WaitReadableAsync(process, _socketEnded.Token).ConfigureAwait(false);
            OnPeerLeft();
        }
        catch (OperationCanceledException)
        {
            // The socket told first.
        }
        finally
        {
            SharedMemorySocket.CloseDescriptor(process);
        }
    }

    private static async Task WaitReadableAsync(int fd, CancellationToken cancellationToken)
    {
        try
        {
            await SocketReadiness.WaitReadableAsync(fd, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // Out of watches or descriptors: look now and then instead of never.
            await Task.Delay(100, cancellationToken).ConfigureAwait(false);
        }
    }

    private void OnPeerLeft()
    {
        _peerLeft = true;
        if (_use.TryEnter())
        {
            _incoming.Interrupt();
            _outgoing.Interrupt();
            Exit();
        }
        _bell.Signal();
    }

    private void LeaveSocket()
    {
        if (Interlocked.Decrement(ref _socketHolders) == 0) _socket.Dispose();
    }
}
