using System.Text.Json;
using System.Text.Json.Serialization;

namespace KvHandoff.Gateway.Discovery;

/// <summary>A worker as the directory keeps it.</summary>
/// <param name="Name">Unique; the key ends with it.</param>
/// <param name="Address">Its control address, reachable from the gateway.</param>
internal sealed record WorkerEntry([property: JsonPropertyName("name")] string Name, [property: JsonPropertyName("address")] string Address)
{
    private const int MaxCharacters = 512;

    internal byte[] Encode() => JsonSerializer.SerializeToUtf8Bytes(this);

    /// <summary>Reads what another program wrote; null where it is no entry.</summary>
    internal static WorkerEntry? Decode(ReadOnlySpan<byte> value)
    {
        try
        {
            return JsonSerializer.Deserialize<WorkerEntry>(value) is { Name.Length: > 0 and <= MaxCharacters, Address.Length: > 0 and <= MaxCharacters } entry ? entry : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
