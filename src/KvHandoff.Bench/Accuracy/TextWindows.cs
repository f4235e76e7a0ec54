using KvHandoff.Bench.Prompts;
using KvHandoff.Model;

namespace KvHandoff.Bench.Accuracy;

/// <summary>Windows of the held-out text: a prefix that is handed over, and the tokens that are then decoded on it.</summary>
internal sealed class TextWindows
{
    /// <summary>Tokens of a window that are handed over, and that are decoded.</summary>
    internal const int PrefixTokens = 384, DecodedTokens = 128;

    private readonly int[] _text = ByteTokenizer.Encode(PromptSet.Load(PromptSet.HeldOut));

    internal TextWindows(int count)
    {
        if (count < 1 || count > Most) throw new ArgumentOutOfRangeException(nameof(count), count, $"The held-out text has 1 to {Most} windows.");
        Count = count;
    }

    /// <summary>Windows that the text has: they do not overlap, but for the last token of one, which the next begins with.</summary>
    internal static int Most => (PromptSet.Load(PromptSet.HeldOut).Length - 1) / (PrefixTokens + DecodedTokens);

    internal int Count { get; }

    /// <summary>Tokens that are predicted, over all windows.</summary>
    internal int Predictions => Count * DecodedTokens;

    /// <summary>The tokens handed over.</summary>
    internal ReadOnlySpan<int> Prefix(int window) => _text.AsSpan(window * (PrefixTokens + DecodedTokens), PrefixTokens);

    /// <summary>The tokens fed afterwards, and one more that the last of them predicts.</summary>
    internal ReadOnlySpan<int> Continuation(int window) => _text.AsSpan(window * (PrefixTokens + DecodedTokens) + PrefixTokens, DecodedTokens + 1);
}
