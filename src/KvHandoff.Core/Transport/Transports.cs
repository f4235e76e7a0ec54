using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace KvHandoff.Transport;

/// <summary>The transports that this process has, by the scheme of their endpoints. Thread-safe.</summary>
public static class Transports
{
    private static readonly ITransport[] BuiltIn =
        [TcpTransport.Instance, UnixSocketTransport.Instance, TlsTransport.Instance, LoopbackTransport.Instance, SharedMemoryTransport.Instance, UcxTransport.Instance];

    private static readonly ConcurrentDictionary<string, ITransport> ByScheme =
        new(BuiltIn.Select(t => KeyValuePair.Create(t.Name, t)), StringComparer.Ordinal);

    /// <summary>The schemes that <see cref="TryGet"/> knows.</summary>
    public static IReadOnlyCollection<string> Schemes => [.. ByScheme.Keys];

    /// <summary>The transport for <paramref name="scheme"/>, or false when this process has none.</summary>
    public static bool TryGet(string scheme, [NotNullWhen(true)] out ITransport? transport) => ByScheme.TryGetValue(scheme, out transport);

    /// <summary>Adds a transport under its own name, until the returned registration is disposed.</summary>
    /// <exception cref="ArgumentException">The name is taken: nothing is ever replaced, least of all what the library brings.</exception>
    public static IDisposable Register(ITransport transport)
    {
        ArgumentNullException.ThrowIfNull(transport);
        if (!ByScheme.TryAdd(transport.Name, transport))
            throw new ArgumentException($"A transport is already called '{transport.Name}'; taken: {string.Join(", ", Schemes.Order())}.", nameof(transport));
        return new Registration(transport);
    }

    private sealed class Registration(ITransport transport) : IDisposable
    {
        public void Dispose() => ByScheme.TryRemove(KeyValuePair.Create(transport.Name, transport));
    }
}
