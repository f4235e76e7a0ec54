using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Text;

namespace KvHandoff.Transport;

/// <summary>
/// Where a transport listens or connects: <c>scheme://host:port</c>, or on one host <c>unix:///path</c>, <c>shm:///path</c>
/// (<c>unix://@name</c> for a name without a file) and, inside one process, <c>loopback://name</c>. A scheme <c>x+y</c> has the form of y.
/// </summary>
/// <param name="Scheme">Name of the transport, in lower case.</param>
/// <param name="Host">Host name or address, an IPv6 address without its brackets; the path or name where the scheme has no port.</param>
/// <param name="Port">0 to 65535; a listener takes 0 for any free port. 0 where the scheme has none.</param>
public readonly record struct TransportEndpoint(string Scheme, string Host, int Port)
{
    private const string LoopbackScheme = "loopback";
    private const int MaxTextLength = 512, MaxHostLength = 255;

    // sun_path of sockaddr_un has 108 bytes, the last of which ends the string.
    private const int MaxPathBytes = 107;
    private const string Expected = "expected scheme://host:port, with an IPv6 address in brackets";

    /// <summary>The endpoint is a path or a name on this host, without a port.</summary>
    public bool IsLocal => HasNoPort(Scheme);

    /// <summary>The host is <c>localhost</c> or an address of this machine's loopback.</summary>
    public bool IsLoopback => IsLocal || string.Equals(Host, "localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(Host, out IPAddress? address) && IPAddress.IsLoopback(address));

    /// <summary>The form that <see cref="TryParse"/> reads.</summary>
    public override string ToString() => IsLocal ? $"{Scheme}://{Host}" : Host is not null && Host.Contains(':')
        ? string.Create(CultureInfo.InvariantCulture, $"{Scheme}://[{Host}]:{Port}")
        : string.Create(CultureInfo.InvariantCulture, $"{Scheme}://{Host}:{Port}");

    /// <summary>Reads <c>scheme://host:port</c>; whether the scheme is one that can be used is the business of <see cref="Transports"/>.</summary>
    /// <param name="text">The text, such as <c>tcp://10.0.0.3:7400</c> or <c>tcp://[::1]:0</c>.</param>
    /// <param name="endpoint">The parts.</param>
    /// <param name="error">Null on success, else the text and what is wrong with it.</param>
    public static bool TryParse(string? text, out TransportEndpoint endpoint, [NotNullWhen(false)] out string? error)
    {
        endpoint = default;
        error = Parse(text, ref endpoint) is { } reason ? $"Endpoint '{Shorten(text)}': {reason}." : null;
        return error is null;
    }

    private static string? Parse(string? text, ref TransportEndpoint endpoint)
    {
        if (string.IsNullOrEmpty(text)) return Expected;
        if (text.Length > MaxTextLength) return $"{text.Length} characters are more than {MaxTextLength}";
        int mark = text.IndexOf("://", StringComparison.Ordinal);
        if (mark <= 0) return Expected;

        string scheme = text[..mark];
        foreach (char c in scheme)
            if (!char.IsAsciiLetterLower(c) && !char.IsAsciiDigit(c) && c != '+')
                return $"'{scheme}' is not a scheme, which is lower case letters, digits and '+'";

        string authority = text[(mark + 3)..];
        if (HasNoPort(scheme)) return ParseName(scheme, authority, ref endpoint);
        int colon = authority.LastIndexOf(':');
        if (colon <= 0) return Expected;
        string host = authority[..colon], port = authority[(colon + 1)..];

        if (!int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out int number) || number > ushort.MaxValue)
            return $"port '{port}' is not a number from 0 to {ushort.MaxValue}";

        if (host[0] == '[')
        {
            if (host.Length < 3 || host[^1] != ']' || !IPAddress.TryParse(host[1..^1], out IPAddress? address)
                || address.AddressFamily != System.Net.Sockets.AddressFamily.InterNetworkV6)
                return $"'{host}' is not an IPv6 address in brackets";
            host = host[1..^1];
        }
        else if (host.Length > MaxHostLength || Uri.CheckHostName(host) is not (UriHostNameType.Dns or UriHostNameType.IPv4))
        {
            return $"'{host}' is not a host name or an IPv4 address; an IPv6 address needs brackets";
        }

        endpoint = new TransportEndpoint(scheme, host, number);
        return null;
    }

    private static string? ParseName(string scheme, string name, ref TransportEndpoint endpoint)
    {
        int bytes = Encoding.UTF8.GetByteCount(name);
        if (bytes is 0 or > MaxPathBytes) return $"a path or name of {bytes} bytes follows the scheme; allowed: 1 to {MaxPathBytes}";
        if (name.Contains('\0')) return "a path or name holds no zero character";
        if ((BaseOf(scheme) != LoopbackScheme && name[0] is not ('/' or '@')) || name is "@" or "/")
            return $"'{name}' is neither an absolute path nor @ and a name";
        endpoint = new TransportEndpoint(scheme, name, 0);
        return null;
    }

    // What stands in front of a '+' wraps the transport behind it, whose endpoints keep their form.
    private static bool HasNoPort(string scheme) => BaseOf(scheme) is "unix" or "shm" or LoopbackScheme;

    private static string BaseOf(string scheme) => scheme[(scheme.LastIndexOf('+') + 1)..];

    private static string? Shorten(string? text) => text is { Length: > 200 } ? text[..200] + "..." : text;
}
