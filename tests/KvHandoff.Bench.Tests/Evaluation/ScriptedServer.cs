using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>A request as it came over the socket.</summary>
internal sealed record ScriptedRequest(string Method, string Path, IReadOnlyDictionary<string, string> Headers, string Body, int Number)
{
    /// <summary>When its last byte had been read.</summary>
    internal long ReceivedTicks { get; } = Stopwatch.GetTimestamp();

    /// <summary>Just before each write of the reply's body.</summary>
    internal List<long> WriteTicks { get; } = [];

    /// <summary>When the reply was complete or cut.</summary>
    internal long EndTicks { get; set; }
}

/// <summary>An HTTP/1.1 server over real sockets that answers as its script says and stamps what it writes. It knows nothing of the client under test.</summary>
internal sealed class ScriptedServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Func<ScriptedRequest, Reply> _script;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentBag<Task> _connections = [];
    private readonly Task _accepting;
    private readonly Func<int, Reply> _models;
    private int _posts, _gets, _inFlight, _peak;

    /// <param name="script">Asked for each POST, in the order in which they come.</param>
    /// <param name="models">Asked for each GET; null: always one model.</param>
    internal ScriptedServer(Func<ScriptedRequest, Reply> script, Func<int, Reply>? models = null)
    {
        _script = script;
        _models = models ?? (_ => Reply.Json(200, """{"object":"list","data":[{"id":"scripted-model","object":"model"}]}"""));
        _listener.Start(512);
        _accepting = AcceptAsync();
    }

    internal string Address => $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    /// <summary>POSTs, in the order of their arrival.</summary>
    internal ConcurrentQueue<ScriptedRequest> Posts { get; } = new();

    /// <summary>Most POSTs at a time.</summary>
    internal int Peak => Volatile.Read(ref _peak);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        await Task.WhenAll(_connections);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket socket = await _listener.AcceptSocketAsync(_stop.Token);
                socket.NoDelay = true;
                _connections.Add(Task.Run(() => ServeAsync(socket)));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using (socket)
        await using (var stream = new NetworkStream(socket))
        {
            try
            {
                while (await ReadAsync(stream) is { } request)
                {
                    if (!await AnswerAsync(request, stream, socket)) return;
                }
            }
            catch (Exception e) when (e is OperationCanceledException or IOException or SocketException)
            {
            }
        }
    }

    private async Task<bool> AnswerAsync(ScriptedRequest request, NetworkStream stream, Socket socket)
    {
        if (request.Method == "GET")
        {
            await WriteAsync(stream, _models(Interlocked.Increment(ref _gets)), request, socket);
            return true;
        }

        int now = Interlocked.Increment(ref _inFlight);
        for (int peak = _peak; now > peak && Interlocked.CompareExchange(ref _peak, now, peak) != peak; peak = _peak) { }
        try
        {
            Posts.Enqueue(request);
            return await WriteAsync(stream, _script(request), request, socket);
        }
        finally
        {
            Interlocked.Decrement(ref _inFlight);
            request.EndTicks = Stopwatch.GetTimestamp();
        }
    }

    private async Task<bool> WriteAsync(NetworkStream stream, Reply reply, ScriptedRequest request, Socket socket)
    {
        if (reply.IsDropped)
        {
            socket.Close(0);
            return false;
        }

        var head = new StringBuilder(string.Create(CultureInfo.InvariantCulture, $"HTTP/1.1 {reply.Status} Scripted\r\ncontent-type: {reply.ContentType}\r\ntransfer-encoding: chunked\r\n"));
        foreach ((string name, string value) in reply.Headers) head.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
        await stream.WriteAsync(Encoding.ASCII.GetBytes(head.Append("\r\n").ToString()), _stop.Token);
        foreach (Reply.Step step in reply.Steps)
        {
            if (step.PauseMilliseconds > 0) await Task.Delay(step.PauseMilliseconds, _stop.Token);
            if (step.IsCut)
            {
                // A reset, as of a server that died: no end of the chunked body.
                socket.Close(0);
                return false;
            }

            if (step.Bytes.Length == 0) continue;
            byte[] chunk = [.. Encoding.ASCII.GetBytes(step.Bytes.Length.ToString("x", CultureInfo.InvariantCulture) + "\r\n"), .. step.Bytes, .. "\r\n"u8];
            request.WriteTicks.Add(Stopwatch.GetTimestamp());
            await stream.WriteAsync(chunk, _stop.Token);
        }

        await stream.WriteAsync("0\r\n\r\n"u8.ToArray(), _stop.Token);
        return true;
    }

    private async Task<ScriptedRequest?> ReadAsync(NetworkStream stream)
    {
        var head = new List<byte>();
        byte[] one = new byte[1];
        while (!(head.Count >= 4 && head[^1] == '\n' && head[^2] == '\r' && head[^3] == '\n'))
        {
            if (await stream.ReadAsync(one, _stop.Token) == 0) return null;
            head.Add(one[0]);
        }

        string[] lines = Encoding.ASCII.GetString([.. head]).Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        string[] first = lines[0].Split(' ');
        Dictionary<string, string> headers = lines.Skip(1).Select(l => l.Split(':', 2)).ToDictionary(p => p[0].ToLowerInvariant(), p => p[1].Trim());
        byte[] body = new byte[headers.TryGetValue("content-length", out string? length) ? int.Parse(length, CultureInfo.InvariantCulture) : 0];
        await stream.ReadExactlyAsync(body, _stop.Token);
        return new ScriptedRequest(first[0], first[1], headers, Encoding.UTF8.GetString(body), first[0] == "POST" ? Interlocked.Increment(ref _posts) : 0);
    }
}
