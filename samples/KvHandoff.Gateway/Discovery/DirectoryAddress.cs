using System.Diagnostics.CodeAnalysis;

namespace KvHandoff.Gateway.Discovery;

/// <summary>The value of <c>--directory</c>: <c>static</c>, or <c>etcd+http://host:2379[,http://host:2379...][/prefix]</c>.</summary>
/// <param name="Endpoints">Of etcd; none for static.</param>
/// <param name="Prefix">Where workers are kept; ends with a slash.</param>
internal sealed record DirectoryAddress(IReadOnlyList<Uri> Endpoints, string Prefix)
{
    internal const string Allowed = "static, or etcd+http://HOST:PORT, with more endpoints after commas and a key prefix as path";
    private const string Scheme = "etcd+", DefaultPrefix = "/kvhandoff/workers/";

    internal static DirectoryAddress Static { get; } = new([], DefaultPrefix);

    internal bool IsStatic => Endpoints.Count == 0;

    internal static bool TryParse(string text, [NotNullWhen(true)] out DirectoryAddress? address)
    {
        address = text == "static" ? Static : null;
        if (address is not null) return true;
        if (!text.StartsWith(Scheme, StringComparison.Ordinal)) return false;
        var endpoints = new List<Uri>();
        string prefix = DefaultPrefix;
        foreach (string part in text[Scheme.Length..].Split(','))
        {
            if (!Uri.TryCreate(part, UriKind.Absolute, out Uri? uri) || uri.Scheme is not ("http" or "https") || uri.Query.Length > 0) return false;
            if (uri.AbsolutePath != "/") prefix = uri.AbsolutePath.TrimEnd('/') + "/";
            endpoints.Add(new Uri(uri.GetLeftPart(UriPartial.Authority) + "/"));
        }

        address = new DirectoryAddress(endpoints, prefix);
        return true;
    }
}
