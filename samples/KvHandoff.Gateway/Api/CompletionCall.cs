using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Api;

/// <summary>What a client asked for, checked in itself; the context and the model are checked against the workers later.</summary>
internal sealed record CompletionCall
{
    internal required bool IsChat { get; init; }

    /// <summary>The name as the client wrote it; replies repeat it.</summary>
    internal required string Model { get; init; }

    internal required int[] Prompt { get; init; }

    /// <summary>Null: the gateway's default.</summary>
    internal int? MaxTokens { get; init; }

    internal required int[][] Stop { get; init; }

    internal required SamplingOptions Sampling { get; init; }

    internal bool Stream { get; init; }

    /// <summary><c>stream_options.include_usage</c>; null where it is not given.</summary>
    internal bool? IncludeUsage { get; init; }

    /// <summary>The field that holds the prompt.</summary>
    internal string PromptField => IsChat ? "messages" : "prompt";
}
