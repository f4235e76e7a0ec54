namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Where a text ends, and how much of it may be said: what could still become a stop sequence is held back. It looks at all tokens every
/// time and keeps nothing, so a sequence that moves to another worker goes on the same. Immutable.
/// </summary>
internal sealed class StopSequences(int[][] stops, IEnumerable<int> endTokens)
{
    public const int MaxSequences = 16, MaxTokens = 256;

    private readonly int[][] _stops = [.. stops, .. endTokens.Select(t => new[] { t })];

    /// <summary>Looks at a completion after a token was added.</summary>
    /// <param name="tokens">All tokens so far.</param>
    /// <returns>Tokens from the first that may leave, and whether the text ends with them.</returns>
    public (int Releasable, bool Ends) Examine(ReadOnlySpan<int> tokens)
    {
        int longest = 0, held = 0;
        foreach (int[] stop in _stops)
        {
            if (tokens.EndsWith(stop)) longest = Math.Max(longest, stop.Length);
            for (int length = Math.Min(stop.Length - 1, tokens.Length); length > held; length--)
            {
                if (!tokens.EndsWith(stop.AsSpan(0, length))) continue;
                held = length;
                break;
            }
        }

        return longest > 0 ? (tokens.Length - longest, true) : (tokens.Length - held, false);
    }
}
