using System.Net;
using System.Net.Sockets;

namespace KvHandoff.Core.Tests.Session;

/// <summary>A TCP relay between sender and receiver whose connections a test can cut, at once or after so many bytes.</summary>
internal sealed class BreakableRelay : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly IPEndPoint _target;
    private readonly Lock _gate = new();
    private readonly List<Socket> _open = [];
    private long _bytesLeft = long.MaxValue;
    private volatile bool _refusing, _holding;

    internal BreakableRelay(string endpoint)
    {
        _target = new IPEndPoint(IPAddress.Loopback, int.Parse(endpoint[(endpoint.LastIndexOf(':') + 1)..]));
        _listener.Start();
        _ = Task.Run(AcceptAsync);
    }

    internal string Endpoint => $"tcp://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    internal int Cuts { get; private set; }

    /// <summary>Connections that were accepted.</summary>
    internal int Accepted { get; private set; }

    /// <summary>Cuts everything once so many bytes have passed towards the receiver.</summary>
    internal void CutAfter(long bytes) => Volatile.Write(ref _bytesLeft, bytes);

    /// <summary>While true, new connections are closed at once.</summary>
    internal bool Refusing
    {
        get => _refusing;
        set => _refusing = value;
    }

    /// <summary>From now on nothing that the receiver says on these connections arrives.</summary>
    internal void HoldAnswers() => _holding = true;

    internal void Cut()
    {
        lock (_gate)
        {
            Cuts++;
            foreach (Socket socket in _open)
            {
                socket.LingerState = new LingerOption(true, 0);
                socket.Dispose();
            }

            _open.Clear();
            _holding = false;
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        Cut();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket from = await _listener.AcceptSocketAsync();
                if (_refusing)
                {
                    from.Dispose();
                    continue;
                }

                var to = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await to.ConnectAsync(_target);
                from.NoDelay = to.NoDelay = true;
                lock (_gate)
                {
                    Accepted++;
                    _open.Add(from);
                    _open.Add(to);
                }

                _ = PumpAsync(from, to, count: true);
                _ = PumpAsync(to, from, count: false);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool count)
    {
        var buffer = new byte[16 << 10];
        try
        {
            while (true)
            {
                int bytes = await from.ReceiveAsync(buffer);
                if (count && Interlocked.Add(ref _bytesLeft, -bytes) < 0)
                {
                    Volatile.Write(ref _bytesLeft, long.MaxValue);
                    Cut();
                    return;
                }

                if (!count && _holding && bytes > 0)
                {
                    // Swallowed for good: the connections are cut before another byte may follow.
                    while (_holding) await Task.Delay(5);
                    return;
                }

                if (bytes == 0)
                {
                    to.Shutdown(SocketShutdown.Send);
                    return;
                }

                for (int sent = 0; sent < bytes;) sent += await to.SendAsync(buffer.AsMemory(sent, bytes - sent));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
        }
    }
}
