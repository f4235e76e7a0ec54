namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>A key that is sent and never shown: its text leaves this type in the authorization header alone.</summary>
internal sealed class ApiKey
{
    private const string DefaultFile = ".env", Hidden = "***";
    private const int MostFileBytes = 64 << 10;
    private readonly string _text;

    private ApiKey(string variable, string text) => (Variable, _text) = (variable, text);

    /// <summary>The variables that are looked for, in this order; the one of the endpoint's own vendor goes first.</summary>
    internal static IReadOnlyList<string> Variables { get; } = ["CEREBRAS_API_KEY", "OPENAI_API_KEY"];

    /// <summary>Where it came from.</summary>
    internal string Variable { get; }

    /// <summary>For the header; nowhere else.</summary>
    internal string Header => "Bearer " + _text;

    /// <summary>A text in which the key is replaced, for whatever a server might echo.</summary>
    internal string Hide(string text) => text.Replace(_text, Hidden, StringComparison.Ordinal);

    /// <summary>Never the key.</summary>
    public override string ToString() => $"{Variable}={Hidden}";

    /// <summary>Looks in the environment, then in .env of the working directory. Null when there is none.</summary>
    /// <param name="variable">The one variable that must exist; null: any of <see cref="Variables"/>.</param>
    /// <param name="endpoint">Where it would be sent.</param>
    /// <param name="directory">Where .env is looked for.</param>
    /// <param name="environment">Reads a variable of the process.</param>
    /// <exception cref="InvalidDataException">The named variable does not exist, or the key cannot be sent.</exception>
    internal static ApiKey? Find(string? variable, EndpointAddress endpoint, string directory, Func<string, string?> environment)
    {
        IReadOnlyDictionary<string, string> file = ReadFile(Path.Combine(directory, DefaultFile));
        string[] names = variable is not null ? [variable] : endpoint.Root.Host.EndsWith("openai.com", StringComparison.OrdinalIgnoreCase) ? [.. Variables.Reverse()] : [.. Variables];
        foreach (string name in names)
        {
            string? text = environment(name) is { Length: > 0 } own ? own : file.GetValueOrDefault(name);
            if (string.IsNullOrWhiteSpace(text)) continue;
            text = text.Trim();
            if (text.Any(c => c is <= ' ' or > '~')) throw new InvalidDataException($"The key in {name} cannot be sent: it has characters other than printable ASCII.");
            if (!endpoint.IsPrivate) throw new InvalidDataException($"--endpoint: the key in {name} would be sent unencrypted to {endpoint.Root.Host}; allowed: https://, or http:// on this machine, or --api-key-env none");
            return new ApiKey(name, text);
        }

        return variable is null ? null : throw new InvalidDataException($"--api-key-env: '{variable}' is not set, neither in the environment nor in {DefaultFile} of the working directory; allowed: the name of a variable that is, or none");
    }

    private static Dictionary<string, string> ReadFile(string path)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        var info = new FileInfo(path);
        if (!info.Exists) return values;
        if (info.Length > MostFileBytes) throw new InvalidDataException($"{DefaultFile} has {info.Length} bytes; allowed: {MostFileBytes} at most");
        foreach (string raw in File.ReadLines(path))
        {
            string line = raw.Trim();
            if (line.StartsWith("export ", StringComparison.Ordinal)) line = line["export ".Length..].TrimStart();
            int equals = line.IndexOf('=');
            if (equals <= 0 || line[0] == '#') continue;
            values[line[..equals].TrimEnd()] = Unquote(line[(equals + 1)..].Trim());
        }

        return values;
    }

    private static string Unquote(string value)
    {
        if (value.Length >= 2 && value[0] is '"' or '\'' && value.IndexOf(value[0], 1) is > 0 and int close) return value[1..close];
        int comment = value.IndexOf(" #", StringComparison.Ordinal);
        return comment < 0 ? value : value[..comment].TrimEnd();
    }
}
