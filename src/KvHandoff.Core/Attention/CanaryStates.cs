using System.Collections.Immutable;

namespace KvHandoff.Attention;

/// <summary>
/// What attention over a receiver's tokens gives for the queries of a <see cref="CanarySet"/>: normalised outputs and their log-sum-exp, so that
/// receivers which hold different tokens, heads or layers can join theirs.
/// </summary>
public sealed class CanaryStates
{
    internal CanaryStates(float[]?[] outputs, float[] logSumExp)
    {
        Outputs = outputs;
        LogSumExp = logSumExp;
    }

    /// <summary>Pairs of the set.</summary>
    public int Count => Outputs.Length;

    /// <summary>Per pair the output; null where this receiver does not hold the pair's layer or head.</summary>
    internal float[]?[] Outputs { get; }

    /// <summary>Per pair; minus infinity where no token was seen.</summary>
    internal float[] LogSumExp { get; }

    /// <summary>Output of a pair; empty where this receiver does not hold its layer or head.</summary>
    public ReadOnlySpan<float> Output(int pair) => Outputs[pair];

    /// <summary>Natural logarithm of the sum of exponentials of a pair; minus infinity where no token was seen.</summary>
    public float LogSumExpOf(int pair) => LogSumExp[pair];

    /// <summary>A part that came from another receiver, whose bytes the host carried.</summary>
    /// <param name="outputs">Per pair the output; empty where it was not held.</param>
    /// <param name="logSumExp">Per pair.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static CanaryStates From(ImmutableArray<ReadOnlyMemory<float>> outputs, ReadOnlySpan<float> logSumExp)
    {
        if (outputs.Length != logSumExp.Length) throw new ArgumentException($"{outputs.Length} outputs and {logSumExp.Length} log-sum-exps were given.", nameof(logSumExp));
        return new CanaryStates([.. outputs.Select(o => o.IsEmpty ? null : o.ToArray())], logSumExp.ToArray());
    }

    /// <summary>
    /// Joins the states of receivers that hold different tokens, or different layers and heads. Replicas, which hold the same tokens of a head, must not
    /// both be given: each part counts.
    /// </summary>
    /// <exception cref="ArgumentException">There is no part, or the parts are of different sets.</exception>
    public static CanaryStates Merge(IReadOnlyList<CanaryStates> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        if (parts.Count == 0) throw new ArgumentException("No part was given.", nameof(parts));
        int pairs = parts[0].Count;
        var outputs = new float[]?[pairs];
        var logSumExp = new float[pairs];
        Array.Fill(logSumExp, float.NegativeInfinity);
        foreach (CanaryStates part in parts)
        {
            if (part.Count != pairs) throw new ArgumentException($"A part has {part.Count} pairs; the first has {pairs}.", nameof(parts));
            for (int i = 0; i < pairs; i++)
            {
                if (part.Outputs[i] is not { } other) continue;
                if (outputs[i] is not { } output)
                {
                    outputs[i] = [.. other];
                    logSumExp[i] = part.LogSumExp[i];
                    continue;
                }

                if (output.Length != other.Length) throw new ArgumentException($"Pair {i} has {other.Length} elements in one part and {output.Length} in another.", nameof(parts));
                SoftmaxState.Merge(output, ref logSumExp[i], other, part.LogSumExp[i]);
            }
        }

        return new CanaryStates(outputs, logSumExp);
    }
}
