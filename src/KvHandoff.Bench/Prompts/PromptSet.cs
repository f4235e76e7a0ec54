using System.Security.Cryptography;

namespace KvHandoff.Bench.Prompts;

/// <summary>One of the four fixed prompts.</summary>
/// <param name="Name">As on the command line and in the summary.</param>
/// <param name="CompletionTokens">Tokens to generate, the first sampled one included.</param>
/// <param name="Sha256">SHA-256 of the text file, lower-case hex.</param>
internal sealed record PromptShape(string Name, int CompletionTokens, string Sha256)
{
    internal string FileName => Name + ".txt";
}

/// <summary>The prompts and the held-out text, shipped beside the program and never regenerated: a changed file is an error.</summary>
internal static class PromptSet
{
    /// <summary>The four shapes: short or long prompt, short or long completion.</summary>
    internal static IReadOnlyList<PromptShape> Shapes { get; } =
    [
        new("short-short", 128, "23aa771ca847de8944cc7d1ef6f06b50d64d62d3cbe0b8bbb041e48898cb4344"),
        new("short-long", 1225, "618012c00613af55a21c4f7b8e4938cb901886754595977ae19210e131f58f83"),
        new("long-short", 128, "433f4c73bd4b556d7fe0c59612a3f411126b35c443e587a395fc7f49adeeab28"),
        new("long-long", 1780, "8e8320d23ec99cfdb83315128af8b6d7d1ab3d3ad799e4df9ed9d4f8ca03fb28"),
    ];

    /// <summary>Text that the model was not trained on; perplexity is taken here.</summary>
    internal static PromptShape HeldOut { get; } = new("held-out", 0, "5b5cdf63567b4eca5046f7fd2178643b713027717bee7b75491f0980ab20ed8f");

    /// <summary>Where the texts lie.</summary>
    internal static string Directory => Path.Combine(AppContext.BaseDirectory, "models", "prompts");

    /// <summary>The bytes of one text.</summary>
    /// <exception cref="InvalidDataException">The file is missing or its hash differs; both hashes are in the message.</exception>
    internal static byte[] Load(PromptShape shape, string? directory = null)
    {
        string path = Path.Combine(directory ?? Directory, shape.FileName);
        if (!File.Exists(path)) throw new InvalidDataException($"Prompt file {path} is missing.");
        byte[] text = File.ReadAllBytes(path);
        string actual = Convert.ToHexStringLower(SHA256.HashData(text));
        if (actual != shape.Sha256)
            throw new InvalidDataException($"Prompt file {path} was changed: SHA-256 is {actual}, expected {shape.Sha256}. Results would not be comparable.");
        return text;
    }

    /// <summary>The shape of that name.</summary>
    internal static PromptShape Find(string name) =>
        Shapes.FirstOrDefault(s => s.Name == name) ?? throw new ArgumentException($"Prompt '{name}' is not one of {string.Join(", ", Shapes.Select(s => s.Name))}.", nameof(name));
}
