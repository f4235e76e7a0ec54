using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Two ends of one connection and the listener that it came from.</summary>
internal sealed class ConnectionPair : IAsyncDisposable
{
    public required IConnection Client { get; init; }
    public required IConnection Server { get; init; }
    public required ITransportListener Listener { get; init; }

    public static async Task<ConnectionPair> OpenAsync(ITransport transport, TransportEndpoint endpoint, TransportOptions? options = null)
    {
        options ??= TransportOptions.Default;
        ITransportListener listener = await transport.ListenAsync(endpoint, options, default);
        ValueTask<IConnection?> accepting = listener.AcceptAsync(default);
        IConnection client = await transport.ConnectAsync(listener.Endpoint, options, default);
        return new ConnectionPair { Client = client, Server = (await accepting)!, Listener = listener };
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        Server.Dispose();
        await Listener.DisposeAsync();
    }
}

/// <summary>Blocking calls on threads of their own, with a limit so that a hang fails instead of stopping the run.</summary>
internal static class Blocking
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static Task<T> Run<T>(Func<T> call) =>
        Task.Factory.StartNew(call, default, TaskCreationOptions.LongRunning, TaskScheduler.Default).WaitAsync(Limit);
}
