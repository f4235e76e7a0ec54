using System.Security.Cryptography;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Workers;

/// <summary>The secret that workers and gateway share: it signs tickets, and what is derived from it opens a worker's control address.</summary>
/// <remarks>Its text never shows the key.</remarks>
internal sealed class WorkerKey
{
    public const uint KeyId = 1;

    private const int MaxFileBytes = 4096;

    /// <param name="secret">32 to 128 random bytes.</param>
    /// <exception cref="ArgumentException">It is too short or too long.</exception>
    public WorkerKey(ReadOnlySpan<byte> secret)
    {
        Ring = new TicketKeyRing(KeyId, secret);
        Credential = Convert.ToHexStringLower(HMACSHA256.HashData(secret, "kvhandoff worker control 1"u8));
    }

    /// <summary>Signs and checks tickets.</summary>
    public TicketKeyRing Ring { get; }

    /// <summary>What a caller shows to a worker.</summary>
    public string Credential { get; }

    /// <summary>A new one.</summary>
    public static byte[] Create() => RandomNumberGenerator.GetBytes(TicketKeyRing.MinKeyBytes);

    /// <summary>Reads it from an environment variable, in hexadecimal, or from the file that the variable with "_FILE" appended names; null where neither is set.</summary>
    /// <exception cref="ArgumentException">What is there is no key; the message does not show it.</exception>
    public static WorkerKey? FromEnvironment(string variable)
    {
        string? text = Environment.GetEnvironmentVariable(variable), source = variable;
        if (string.IsNullOrEmpty(text) && Environment.GetEnvironmentVariable(variable + "_FILE") is { Length: > 0 } path)
        {
            if (new FileInfo(path).Length > MaxFileBytes) throw new ArgumentException($"The file that {variable}_FILE names has more than {MaxFileBytes} bytes.");
            (text, source) = (File.ReadAllText(path), variable + "_FILE");
        }

        if (string.IsNullOrWhiteSpace(text)) return null;
        try
        {
            return new WorkerKey(Convert.FromHexString(text.Trim()));
        }
        catch (FormatException)
        {
            throw new ArgumentException($"{source} holds {text.Trim().Length} characters that are not hexadecimal digits in pairs.");
        }
    }

    /// <summary>Whether a caller's credential is this key's; takes the same time for every wrong one.</summary>
    public bool Accepts(string? credential) =>
        credential is not null && CryptographicOperations.FixedTimeEquals(System.Text.Encoding.UTF8.GetBytes(credential), System.Text.Encoding.UTF8.GetBytes(Credential));

    /// <inheritdoc/>
    public override string ToString() => "worker key";
}
