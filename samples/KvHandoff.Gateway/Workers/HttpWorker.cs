using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text.Json;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Workers;

/// <summary>A worker in another process, asked over HTTP/1.1. Cancelling a call closes its connection, which cancels it at the worker.</summary>
/// <remarks>Thread-safe. There is no limit on how long a call takes, but on how long a worker may be silent in it.</remarks>
internal sealed class HttpWorker : IWorker, IAsyncDisposable
{
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(3), IdleConnections = TimeSpan.FromMinutes(1);

    private readonly HttpMessageInvoker _client;
    private readonly Uri _base;
    private readonly TimeSpan _silence;
    private readonly AuthenticationHeaderValue? _credential;

    /// <param name="name">Name of the worker.</param>
    /// <param name="address">Its control address.</param>
    /// <param name="key">Its key; null where it asks for no credential.</param>
    /// <param name="silence">A worker that says nothing for so long is lost; null: several of its heartbeats.</param>
    /// <exception cref="ArgumentException">The address cannot be parsed.</exception>
    public HttpWorker(string name, string address, WorkerKey? key, TimeSpan? silence = null)
    {
        Name = name;
        _silence = silence ?? WorkerWire.Silence;
        WorkerAddress target = WorkerAddress.Parse(address);
        _base = new Uri(target.SocketPath is null ? address : "http://worker/");
        _credential = key is null ? null : new AuthenticationHeaderValue(WorkerWire.Scheme, key.Credential);
        var handler = new SocketsHttpHandler { UseProxy = false, UseCookies = false, AllowAutoRedirect = false, ConnectTimeout = ConnectLimit, PooledConnectionIdleTimeout = IdleConnections, MaxResponseDrainSize = 0, ResponseDrainTimeout = TimeSpan.Zero, MaxResponseHeadersLength = 16 };
        handler.ConnectCallback = async (context, cancellationToken) => new NetworkStream(await ConnectAsync(target, context.DnsEndPoint, cancellationToken), ownsSocket: true);
        _client = new HttpMessageInvoker(handler);
    }

    public string Name { get; }

    public async Task<WorkerStatus> StatusAsync(CancellationToken cancellationToken)
    {
        await using WorkerAnswer answer = await AskAsync<object>(HttpMethod.Get, WorkerWire.Status, null, cancellationToken);
        return await answer.ReadAsync<WorkerStatus>(cancellationToken) ?? throw answer.Gone("it closed the connection instead of an answer.");
    }

    public async Task<PrefillResult> PrefillAsync(PrefillRequest request, CancellationToken cancellationToken)
    {
        await using WorkerAnswer answer = await AskAsync(HttpMethod.Post, WorkerWire.Prefill, request, cancellationToken);
        PrefillReply reply = await answer.ReadAsync<PrefillReply>(cancellationToken) ?? throw answer.Gone("it closed the connection before the prefill was done.");
        await answer.EndAsync();
        if (reply.Failure is { } failure) throw new WorkerException(failure.Failure, Name, failure.Message);
        return reply.Result ?? throw new WorkerException(WorkerFailure.Internal, Name, "it answered neither a result nor a failure.");
    }

    public IAsyncEnumerable<DecodeEvent> DecodeAsync(DecodeRequest request, CancellationToken cancellationToken) => StreamAsync(WorkerWire.Decode, request, cancellationToken);

    public IAsyncEnumerable<DecodeEvent> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken) => StreamAsync(WorkerWire.Generate, request, cancellationToken);

    public async Task SetPeersAsync(IReadOnlyList<WorkerPeer> peers, CancellationToken cancellationToken)
    {
        await using WorkerAnswer answer = await AskAsync(HttpMethod.Post, WorkerWire.Peers, peers, cancellationToken);
        await answer.EndAsync();
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return ValueTask.CompletedTask;
    }

    private async IAsyncEnumerable<DecodeEvent> StreamAsync<T>(string path, T request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using WorkerAnswer answer = await AskAsync(HttpMethod.Post, path, request, cancellationToken);
        while (true)
        {
            DecodeEvent told = await answer.ReadAsync<DecodeEvent>(cancellationToken) ?? throw answer.Gone("its stream ended before the text did.");
            if (told is DecodeFailed failed) throw new WorkerException(failed.Failure, Name, failed.Message);
            yield return told;
            if (told is not DecodeFinished) continue;
            await answer.EndAsync();
            yield break;
        }
    }

    private async Task<WorkerAnswer> AskAsync<T>(HttpMethod method, string path, T? request, CancellationToken cancellationToken)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        silence.CancelAfter(_silence);
        using var message = new HttpRequestMessage(method, new Uri(_base, path));
        message.Headers.Authorization = _credential;
        if (request is not null) message.Content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(request, WorkerWire.Json)) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
        HttpResponseMessage response;
        try
        {
            response = await _client.SendAsync(message, silence.Token);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or SocketException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw new WorkerException(WorkerFailure.Lost, Name, e is OperationCanceledException ? $"it did not answer within {_silence.TotalSeconds:0.#} s." : $"it cannot be asked: {e.Message}", e);
        }

        var answer = new WorkerAnswer(Name, _silence, response, await response.Content.ReadAsStreamAsync(cancellationToken));
        if (response.IsSuccessStatusCode) return answer;
        await using (answer)
        {
            DecodeFailed? failed = await answer.ReadAsync<DecodeFailed>(cancellationToken);
            throw new WorkerException(failed?.Failure ?? WorkerFailure.Internal, Name, failed?.Message ?? $"it answered with status {(int)response.StatusCode}.");
        }
    }

    private static async ValueTask<Socket> ConnectAsync(WorkerAddress target, System.Net.DnsEndPoint host, CancellationToken cancellationToken)
    {
        Socket socket = target.SocketPath is null ? new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true } : new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(target.SocketPath is { } path ? new UnixDomainSocketEndPoint(path) : host, cancellationToken);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
