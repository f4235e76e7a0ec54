namespace KvHandoff.Gateway.Contracts;

/// <summary>Another worker that one may turn to.</summary>
/// <param name="Name">Its name: the audience of tickets.</param>
/// <param name="Address">Its control address, "unix:///path" or "http://127.0.0.1:port".</param>
internal sealed record WorkerPeer(string Name, string Address);
