using System.Security.Cryptography;
using System.Text;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>What one reply was seen to hold, and when. Ticks are of the run's clock.</summary>
internal sealed class ReplyObservation : IDisposable
{
    private readonly IncrementalHash _content = IncrementalHash.CreateHash(HashAlgorithmName.SHA256), _reasoning = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private bool _hasContent, _hasReasoning;

    /// <summary>Arrival of every event with text, reasoning or a tool call.</summary>
    internal List<long> ContentTicks { get; } = [];

    internal long? FirstByteTicks { get; set; }

    internal long? FirstChunkTicks { get; set; }

    internal int Chunks { get; set; }

    internal int ReasoningChunks { get; set; }

    internal int Characters { get; private set; }

    internal bool IsDone { get; set; }

    internal string? FinishReason { get; set; }

    internal string? Id { get; set; }

    internal string? Model { get; set; }

    internal string? SystemFingerprint { get; set; }

    internal long? PromptTokens { get; set; }

    internal long? CompletionTokens { get; set; }

    internal long? TotalTokens { get; set; }

    internal long? CachedTokens { get; set; }

    internal long? ReasoningTokens { get; set; }

    internal bool HasUsage { get; set; }

    internal ServerTimes? Server { get; set; }

    internal HandoffDetail? Handoff { get; set; }

    /// <summary>An error within the reply, or a reply that is none.</summary>
    internal RequestError? Error { get; set; }

    /// <summary>Whether the server may be asked again, where the error says so.</summary>
    internal int? ErrorStatus { get; set; }

    internal void AddText(string text)
    {
        Add(_content, text);
        _hasContent = true;
    }

    internal void AddReasoning(string text)
    {
        Add(_reasoning, text);
        _hasReasoning = true;
    }

    /// <summary>SHA-256 of the text; with reasoning, of both hashes one after the other, reasoning first. Null when nothing came.</summary>
    internal string? TextSha256()
    {
        if (!_hasContent && !_hasReasoning) return null;
        byte[] content = _content.GetCurrentHash();
        return Convert.ToHexStringLower(_hasReasoning ? SHA256.HashData([.. _reasoning.GetCurrentHash(), .. content]) : content);
    }

    public void Dispose()
    {
        _content.Dispose();
        _reasoning.Dispose();
    }

    private void Add(IncrementalHash hash, string text)
    {
        hash.AppendData(Encoding.UTF8.GetBytes(text));
        Characters += text.Length;
    }
}
