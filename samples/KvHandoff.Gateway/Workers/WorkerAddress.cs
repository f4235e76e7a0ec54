namespace KvHandoff.Gateway.Workers;

/// <summary>A control address.</summary>
/// <param name="SocketPath">Path of a Unix socket; null for TCP.</param>
/// <param name="Host">Name or address of the host; null for a Unix socket.</param>
/// <param name="Port">TCP port.</param>
internal sealed record WorkerAddress(string? SocketPath, string? Host, int Port)
{
    // What sun_path holds, its terminating zero left out.
    private const int MaxSocketPathBytes = 107;

    /// <summary>Reads "unix:///path" or "http://host:port".</summary>
    /// <exception cref="ArgumentException">It is neither.</exception>
    public static WorkerAddress Parse(string address)
    {
        ArgumentException.ThrowIfNullOrEmpty(address);
        if (address.StartsWith("unix://", StringComparison.Ordinal))
        {
            string path = address["unix://".Length..];
            int bytes = System.Text.Encoding.UTF8.GetByteCount(path);
            if (path.Length == 0 || path[0] != '/' || bytes > MaxSocketPathBytes) throw new ArgumentException($"The path of {address} has {bytes} bytes; allowed: an absolute path of at most {MaxSocketPathBytes}.", nameof(address));
            return new WorkerAddress(path, null, 0);
        }

        if (Uri.TryCreate(address, UriKind.Absolute, out Uri? uri) && uri.Scheme == Uri.UriSchemeHttp && uri.AbsolutePath == "/" && uri.UserInfo.Length == 0) return new WorkerAddress(null, uri.IdnHost, uri.Port);
        throw new ArgumentException($"'{address}' is no control address; allowed: unix:///path, http://host:port.", nameof(address));
    }
}
