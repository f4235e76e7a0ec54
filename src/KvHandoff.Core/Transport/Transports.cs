using System.Diagnostics.CodeAnalysis;

namespace KvHandoff.Transport;

/// <summary>The transports that this build has, by the scheme of their endpoints.</summary>
public static class Transports
{
    private static readonly Dictionary<string, ITransport> ByScheme = new(StringComparer.Ordinal)
    {
        [TcpTransport.Scheme] = TcpTransport.Instance,
    };

    /// <summary>The schemes that <see cref="TryGet"/> knows.</summary>
    public static IReadOnlyCollection<string> Schemes => ByScheme.Keys;

    /// <summary>The transport for <paramref name="scheme"/>, or false when this build has none.</summary>
    public static bool TryGet(string scheme, [NotNullWhen(true)] out ITransport? transport) => ByScheme.TryGetValue(scheme, out transport);
}
