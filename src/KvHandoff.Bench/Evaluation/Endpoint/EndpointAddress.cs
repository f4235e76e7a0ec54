namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>Where an OpenAI- or Cerebras-compatible server is, given with or without /v1.</summary>
internal sealed class EndpointAddress
{
    private const string Version = "/v1";

    private EndpointAddress(Uri root) => Root = root;

    /// <summary>Ends in /v1.</summary>
    internal Uri Root { get; }

    internal Uri ChatCompletions => new(Root.AbsoluteUri + "/chat/completions");

    internal Uri Models => new(Root.AbsoluteUri + "/models");

    /// <summary>Bytes do not leave this machine, or leave it encrypted.</summary>
    internal bool IsPrivate => Root.Scheme == Uri.UriSchemeHttps || Root.IsLoopback;

    public override string ToString() => Root.AbsoluteUri;

    /// <exception cref="InvalidDataException">It is no address of a server; the message names it and what is allowed, and never a password.</exception>
    internal static EndpointAddress Parse(string text)
    {
        const string Allowed = "allowed: http:// or https:// with a host, with or without /v1, such as http://127.0.0.1:8080";
        string given = text.Contains('@', StringComparison.Ordinal) ? "(an address with a user name)" : $"'{text}'";
        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) || uri.Scheme is not ("http" or "https") || uri.Host.Length == 0) throw new InvalidDataException($"--endpoint: {given} is not allowed; {Allowed}");
        if (uri.UserInfo.Length > 0) throw new InvalidDataException("--endpoint: an address with a user name or password is not allowed: it would be written to files; give a key by --api-key-env");
        if (uri.Query.Length > 0 || uri.Fragment.Length > 0) throw new InvalidDataException($"--endpoint: '{uri.GetLeftPart(UriPartial.Path)}' with a query or fragment is not allowed; {Allowed}");
        string root = uri.GetLeftPart(UriPartial.Path).TrimEnd('/');
        return new EndpointAddress(new Uri(root.EndsWith(Version, StringComparison.Ordinal) ? root : root + Version));
    }
}
