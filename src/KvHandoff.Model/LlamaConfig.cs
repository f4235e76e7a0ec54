using System.Collections.Immutable;

namespace KvHandoff.Model;

/// <summary>The hyperparameters of a Llama-architecture model, from a Hugging Face <c>config.json</c>. Immutable and validated.</summary>
public sealed partial record LlamaConfig
{
    /// <summary>Name for people: <c>_name_or_path</c>, or the checkpoint's directory name.</summary>
    public required string Name { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads, a multiple of <see cref="KvHeads"/>.</summary>
    public required int QueryHeads { get; init; }

    /// <summary>Key/value heads.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Elements per head, even.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Width of the feed-forward part.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Tokens in the vocabulary.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Added to the mean square before its root.</summary>
    public required float RmsNormEpsilon { get; init; }

    /// <summary>Base of the rotary embedding.</summary>
    public required double RopeTheta { get; init; }

    /// <summary>Scaling of the rotary embedding, if any.</summary>
    public Llama3RopeScaling? RopeScaling { get; init; }

    /// <summary>Longest sequence, in tokens.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Whether the output projection is the embedding matrix.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Tokens that end a text; may be empty.</summary>
    public ImmutableArray<int> EndTokens { get; init; } = [];

    /// <summary>Query heads per kv head.</summary>
    public int GroupSize => QueryHeads / KvHeads;

    /// <summary>Elements of one token's queries.</summary>
    public int QueryWidth => QueryHeads * HeadDim;

    /// <summary>Elements of one token's keys, and of its values.</summary>
    public int KvWidth => KvHeads * HeadDim;
}
