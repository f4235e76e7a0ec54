using System.Security.Cryptography;
using System.Text;
using KvHandoff.Bench.Prompts;

namespace KvHandoff.Bench.Evaluation;

/// <summary>One of the fixed texts of an evaluation.</summary>
/// <param name="Type">Name of the prompt type.</param>
/// <param name="Text">What is sent as the user's message.</param>
/// <param name="CompletionTokens">Most tokens asked for.</param>
internal sealed record EvaluationPrompt(string Type, string Text, int CompletionTokens)
{
    internal string Sha256 { get; } = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Text)));
}

/// <summary>
/// The four prompt types of the study, with texts that ship, are hashed and never change: a run is comparable with every other of the same set.
/// "reference" suits the byte-level reference model, "chat" instruction-tuned models of any endpoint.
/// </summary>
internal static class EvaluationPrompts
{
    internal const string ReferenceSet = "reference", ChatSet = "chat";

    /// <summary>Name of the requests of a trace, beside the four types.</summary>
    internal const string TraceType = "trace";

    // About 3,000 tokens of a usual tokenizer.
    private const int DocumentBytes = 13_000;

    /// <summary>In the order of the study.</summary>
    internal static IReadOnlyList<string> Types { get; } = ["short_input_short_output", "short_input_long_output", "long_input_short_output", "long_input_long_output"];

    internal static IReadOnlyList<string> Sets { get; } = [ReferenceSet, ChatSet];

    // Pins of the chat set, whose texts are put together; the reference set's files have theirs in PromptSet.
    private static readonly string[] ChatHashes =
    [
        "d07046ebc7e02f58e89bd7ed10d1d29ab4759ae2e984003d57ba61d94aa70cb3",
        "2ba8f7a0d35712e51815180fc77c68ad187003e27fb1d4cce0a1a1d2f1c1c073",
        "df9f5ad43ea2a19da979a948e0f490ee2e37cd76676220cd770cae013d85dd85",
        "8aba5ee2eb363538be45525273469d0d8cee6dbe817b478fbd14df5cb5b1aeef",
    ];

    /// <summary>Place of a type in tables; types that are not of the four come last.</summary>
    internal static int Rank(string type)
    {
        for (int i = 0; i < Types.Count; i++)
        {
            if (Types[i] == type) return i;
        }

        return Types.Count;
    }

    /// <exception cref="InvalidDataException">A shipped text is missing or was changed.</exception>
    internal static IReadOnlyList<EvaluationPrompt> Load(string set)
    {
        if (set == ReferenceSet) return [.. Types.Zip(PromptSet.Shapes, (type, shape) => new EvaluationPrompt(type, Encoding.UTF8.GetString(PromptSet.Load(shape)), shape.CompletionTokens))];
        byte[] book = PromptSet.Load(PromptSet.HeldOut);
        string document = Encoding.UTF8.GetString(book.AsSpan(0, Math.Min(DocumentBytes, book.Length)));
        EvaluationPrompt[] prompts =
        [
            new(Types[0], "Why is the sky blue? Answer in two sentences.", 256),
            new(Types[1], "Tell the story of a lighthouse keeper who finds a message in a bottle. Describe the sea, the people of the village and what the message changes. Take your time and write at least twelve paragraphs.", 1780),
            new(Types[2], document + "\n\nSummarise the text above in one short paragraph.", 256),
            new(Types[3], document + "\n\nExplain the text above passage by passage: who acts, what happens, and what a reader today may take from it. Be thorough and give examples.", 1780),
        ];
        foreach ((EvaluationPrompt prompt, string expected) in prompts.Zip(ChatHashes))
        {
            if (prompt.Sha256 != expected) throw new InvalidDataException($"The chat prompt {prompt.Type} was changed: SHA-256 is {prompt.Sha256}, expected {expected}. Results would not be comparable.");
        }

        return prompts;
    }

    /// <summary>One hash for a set of prompts: equal in comparable runs.</summary>
    internal static string SetSha256(IEnumerable<EvaluationPrompt> prompts) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', prompts.Select(p => $"{p.Type} {p.Sha256} {p.CompletionTokens}")))));

    /// <summary>All shipped text in a row: what prompts of a trace are cut from.</summary>
    internal static string Corpus() => Encoding.UTF8.GetString(PromptSet.Load(PromptSet.HeldOut));
}
