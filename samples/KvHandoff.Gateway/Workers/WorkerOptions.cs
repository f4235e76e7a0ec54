using KvHandoff.Codec;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Workers;

/// <summary>What a worker is and has. The key of the tickets is not part of it: it comes from the environment or a file.</summary>
internal sealed record WorkerOptions
{
    /// <summary>Unique in its directory; the audience and the sender of tickets.</summary>
    public required string Name { get; init; }

    /// <summary>Phases that it runs.</summary>
    public required Phase Phases { get; init; }

    /// <summary>Pool that it belongs to.</summary>
    public string Pool { get; init; } = "default";

    /// <summary>Where it is asked: "unix:///path", or "http://127.0.0.1:port" with 0 for any free port.</summary>
    public required string ControlAddress { get; init; }

    /// <summary>Where its receiver listens: "shm" or "unix" (a name is made up), or an endpoint such as "tcp://10.0.0.3:7400".</summary>
    public string Handoff { get; init; } = "shm";

    /// <summary>Lets handoffs and control travel unencrypted over addresses that are not loopback.</summary>
    public bool AllowPlaintext { get; init; }

    /// <summary>Directory of config.json and the safetensors files.</summary>
    public string ModelDirectory { get; init; } = Path.Combine(AppContext.BaseDirectory, "models", "llama-bytes-5m");

    /// <summary>Tokens that its cache holds, rounded up to whole blocks.</summary>
    public long CacheTokens { get; init; } = 65_536;

    /// <summary>Sequences that are decoded at once, 1 to 256.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>Threads that compute; 0: one per processor, which is too many where several workers share a machine.</summary>
    public int Threads { get; init; }

    /// <summary>Tokens of a prompt that are computed at once: cancellation and more urgent prompts wait for one chunk at most.</summary>
    public int ChunkTokens { get; init; } = 256;

    /// <summary>How rows travel. Only lossless codecs keep the text the same by every route.</summary>
    public CodecId Codec { get; init; } = CodecId.Raw;

    /// <summary>A handoff that landed and that nobody asks for is dropped after this time.</summary>
    public TimeSpan UnclaimedLifetime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Decode workers that sequences may be handed away to.</summary>
    public IReadOnlyList<WorkerPeer> Peers { get; init; } = [];

    /// <summary>Environment variable with the key in hexadecimal, or whose name with "_FILE" appended names a file with it.</summary>
    public string KeyVariable { get; init; } = "KVHANDOFF_TICKET_KEY";

    /// <summary>Threads of a stage.</summary>
    public int ThreadsInUse => Threads > 0 ? Threads : Environment.ProcessorCount;

    /// <summary>Checks every range.</summary>
    /// <exception cref="ArgumentException">The message names the option, its value and what is allowed.</exception>
    public void Validate()
    {
        Require(Name.Length is >= 1 and <= 64 && Name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'), nameof(Name), Name, "1 to 64 letters, digits, '-', '_', '.'");
        Require(Phases is Phase.Prefill or Phase.Decode or Phase.Both, nameof(Phases), Phases, "Prefill, Decode, Both");
        Require(Pool.Length is >= 1 and <= 64, nameof(Pool), Pool, "1 to 64 characters");
        Require(CacheTokens is >= 64 and <= 1L << 32, nameof(CacheTokens), CacheTokens, "64 to 4294967296");
        Require(BatchSize is >= 1 and <= 256, nameof(BatchSize), BatchSize, "1 to 256");
        Require(Threads is >= 0 and <= 1024, nameof(Threads), Threads, "0 to 1024");
        Require(ChunkTokens is >= 1 and <= 8192, nameof(ChunkTokens), ChunkTokens, "1 to 8192");
        Require(UnclaimedLifetime > TimeSpan.Zero, nameof(UnclaimedLifetime), UnclaimedLifetime, "more than 0");
    }

    private static void Require(bool holds, string name, object value, string allowed)
    {
        if (!holds) throw new ArgumentException($"{name} of the worker is '{value}'; allowed: {allowed}.", name);
    }
}
