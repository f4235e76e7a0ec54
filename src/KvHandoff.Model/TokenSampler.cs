namespace KvHandoff.Model;

/// <summary>
/// Chooses tokens at a temperature among the likeliest. The random number of token i depends on the seed and i alone: whoever chooses it,
/// in whatever batch, draws the same from the same logits.
/// </summary>
/// <remarks>Not thread-safe: it keeps scratch memory.</remarks>
public sealed class TokenSampler
{
    private const ulong Step = 0x9E37_79B9_7F4A_7C15;

    private double[] _weights = [];
    private int[] _order = [];

    /// <summary>The token for position <paramref name="index"/> of a completion.</summary>
    /// <param name="logits">One per token of the vocabulary.</param>
    /// <param name="temperature">0 takes the most probable, as <see cref="GreedySampler"/> does; above it, logits are divided by it.</param>
    /// <param name="topP">Only the likeliest tokens that together have this probability are drawn from: above 0 to 1.</param>
    /// <param name="seed">Chooses the stream of random numbers.</param>
    /// <param name="index">Number of the token in its completion, from 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A parameter is out of range.</exception>
    public int Sample(ReadOnlySpan<float> logits, double temperature, double topP, ulong seed, int index)
    {
        if (!(temperature >= 0) || double.IsInfinity(temperature)) throw new ArgumentOutOfRangeException(nameof(temperature), temperature, $"The temperature is {temperature}; allowed: 0 or more.");
        if (!(topP > 0 && topP <= 1)) throw new ArgumentOutOfRangeException(nameof(topP), topP, $"top_p is {topP}; allowed: above 0 to 1.");
        int best = GreedySampler.Sample(logits);
        if (temperature == 0 || !float.IsFinite(logits[best])) return best;
        if (_weights.Length < logits.Length) (_weights, _order) = (new double[logits.Length], new int[logits.Length]);
        double total = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            double weight = Math.Exp((logits[i] - (double)logits[best]) / temperature);
            _weights[i] = double.IsNaN(weight) ? 0 : weight;
            _order[i] = i;
            total += _weights[i];
        }

        Span<int> order = _order.AsSpan(0, logits.Length);
        // Equals in the order of their ids, so that there is one order.
        order.Sort((a, b) => _weights[b].CompareTo(_weights[a]) is var by && by != 0 ? by : a.CompareTo(b));
        double kept = 0;
        int candidates = 0;
        while (candidates < order.Length && (candidates == 0 || kept < topP * total)) kept += _weights[order[candidates++]];
        double target = Uniform(seed, index) * kept;
        foreach (int token in order[..candidates])
        {
            target -= _weights[token];
            if (target < 0) return token;
        }

        return order[candidates - 1];
    }

    /// <summary>A number from 0 to below 1 that depends on its two arguments alone.</summary>
    public static double Uniform(ulong seed, int index)
    {
        ulong mixed = Mix(Mix(seed + Step) + Step * ((ulong)(uint)index + 1));
        return (mixed >> 11) * (1.0 / (1UL << 53));
    }

    // The finisher of SplitMix64.
    private static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9;
        x = (x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB;
        return x ^ (x >> 31);
    }
}
