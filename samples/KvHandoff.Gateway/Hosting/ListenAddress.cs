using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace KvHandoff.Gateway.Hosting;

/// <summary>Where the gateway listens: <c>http://address:port</c>; port 0 takes a free one.</summary>
internal sealed record ListenAddress(IPAddress Address, int Port)
{
    internal const string Allowed = "http://ADDRESS:PORT, with an IP address, localhost or *";

    internal static ListenAddress Default { get; } = new(IPAddress.Loopback, 8080);

    internal bool IsLoopback => IPAddress.IsLoopback(Address);

    internal static bool TryParse(string text, [NotNullWhen(true)] out ListenAddress? address)
    {
        address = null;
        const string scheme = "http://";
        if (!text.StartsWith(scheme, StringComparison.OrdinalIgnoreCase)) return false;
        string rest = text[scheme.Length..].TrimEnd('/');
        int colon = rest.LastIndexOf(':');
        if (colon <= 0 || !int.TryParse(rest[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int port) || port > ushort.MaxValue) return false;
        string host = rest[..colon].Trim('[', ']');
        IPAddress? ip = host switch
        {
            "localhost" => IPAddress.Loopback,
            "*" => IPAddress.Any,
            _ => IPAddress.TryParse(host, out IPAddress? parsed) ? parsed : null,
        };
        if (ip is null) return false;
        address = new ListenAddress(ip, port);
        return true;
    }

    public override string ToString() => $"http://{new IPEndPoint(Address, Port)}";
}
