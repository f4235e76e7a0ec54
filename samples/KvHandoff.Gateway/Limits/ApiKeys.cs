using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;

namespace KvHandoff.Gateway.Limits;

/// <summary>Who may ask, and the account of each. Holds hashes of clients' keys, never the keys. Thread-safe.</summary>
internal sealed class ApiKeys
{
    /// <summary>Keys from the environment, separated by commas.</summary>
    internal const string Variable = "KVHANDOFF_API_KEYS";

    private const long MaxFileBytes = 1 << 20;
    private const int MinKeyCharacters = 8, MaxKeyCharacters = 512;

    private readonly FrozenDictionary<UInt128, KeyAccount> _accounts;
    private readonly KeyAccount? _anonymous;
    private LentKey? _lent;

    private ApiKeys(Dictionary<UInt128, KeyAccount> accounts, KeyAccount? anonymous)
    {
        _accounts = accounts.ToFrozenDictionary();
        _anonymous = anonymous;
    }

    /// <summary>Whether a request needs a key.</summary>
    internal bool Required => _anonymous is null;

    /// <summary>
    /// Reads keys: one a line, <c>key</c> or <c>key name</c>; <c>#</c> begins a comment. Without any key everyone shares one account.
    /// </summary>
    /// <exception cref="FormatException">A line is not a key; its number is named, never its text.</exception>
    internal static ApiKeys Parse(IEnumerable<string> lines, RateLimits limits, TimeProvider time)
    {
        var accounts = new Dictionary<UInt128, KeyAccount>();
        int number = 0;
        foreach (string line in lines)
        {
            number++;
            string[] parts = line.Split('#')[0].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (parts.Length == 0) continue;
            if (parts.Length > 2 || parts[0].Length is < MinKeyCharacters or > MaxKeyCharacters)
                throw new FormatException($"Line {number} has {parts.Length} words and a key of {parts[0].Length} characters; allowed: a key of {MinKeyCharacters} to {MaxKeyCharacters} characters, and a name after it.");
            if (!accounts.TryAdd(Hash(parts[0]), new KeyAccount(parts.Length == 2 ? parts[1] : $"key-{accounts.Count + 1}", limits, time))) throw new FormatException($"Line {number} repeats a key.");
        }

        return new ApiKeys(accounts, accounts.Count > 0 ? null : new KeyAccount("anonymous", limits, time));
    }

    /// <summary>Keys of a file, if one is given, and of the environment.</summary>
    /// <exception cref="FormatException">As of <see cref="Parse"/>, or the file is too large.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    internal static ApiKeys Load(string? file, string? variable, RateLimits limits, TimeProvider time)
    {
        if (file is not null && new FileInfo(file) is { Exists: true, Length: > MaxFileBytes } large) throw new FormatException($"'{file}' has {large.Length} bytes; allowed: {MaxFileBytes}.");
        string[] fromFile = file is null ? [] : File.ReadAllLines(file);
        return Parse([.. fromFile, .. (variable ?? "").Split(',')], limits, time);
    }

    /// <summary>The account of a request's Authorization header; null when the key is missing or unknown.</summary>
    internal KeyAccount? Find(string? authorization)
    {
        LentKey? lent = Volatile.Read(ref _lent);
        if (_anonymous is not null && lent is null) return _anonymous;
        const string scheme = "Bearer ";
        if (authorization is null || authorization.Length > scheme.Length + MaxKeyCharacters || !authorization.StartsWith(scheme, StringComparison.OrdinalIgnoreCase)) return _anonymous;
        // Looked up by hash: the time that takes says nothing about the keys.
        UInt128 hash = Hash(authorization[scheme.Length..].Trim());
        return lent is not null && hash == Hash(lent.Text) ? lent.Account : _anonymous ?? _accounts.GetValueOrDefault(hash);
    }

    /// <summary>A key for this process's own requests; no other may be lent at the time.</summary>
    internal LentKey Lend()
    {
        var key = new LentKey(given => Interlocked.CompareExchange(ref _lent, null, given));
        return Interlocked.CompareExchange(ref _lent, key, null) is null ? key : throw new InvalidOperationException("A key is lent already.");
    }

    private static UInt128 Hash(string key)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(key), digest);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(digest);
    }
}
