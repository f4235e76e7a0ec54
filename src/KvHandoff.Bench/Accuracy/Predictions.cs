using KvHandoff.Layout;
using KvHandoff.Model;

namespace KvHandoff.Bench.Accuracy;

/// <summary>What a model predicts along one continuation, teacher-forced.</summary>
/// <param name="LogProbabilities"><c>[position][token]</c>, natural logarithms in double precision.</param>
/// <param name="NegativeLogLikelihood">Of the true tokens, in nats.</param>
internal sealed record Predictions(double[] LogProbabilities, double NegativeLogLikelihood)
{
    /// <summary>Decodes token by token on what <paramref name="sequence"/> holds; the sequence grows by the tokens.</summary>
    internal static Predictions Decode(LlamaRunner runner, KvSequence sequence, ReadOnlySpan<int> continuation)
    {
        int vocabulary = runner.Model.Config.VocabularySize, positions = continuation.Length - 1;
        var probabilities = new double[positions * vocabulary];
        double nats = 0;
        for (int i = 0; i < positions; i++)
        {
            Span<double> row = probabilities.AsSpan(i * vocabulary, vocabulary);
            LogSoftmax(runner.Decode(sequence, continuation[i]), row);
            nats -= row[continuation[i + 1]];
        }

        return new Predictions(probabilities, nats);
    }

    /// <summary>How far <paramref name="other"/> is from these: the sum of the KL divergences of its rows, and how often both prefer the same token.</summary>
    internal (double KlSum, int SameTop) Compare(Predictions other, int vocabulary)
    {
        double divergence = 0;
        int same = 0;
        for (int at = 0; at < LogProbabilities.Length; at += vocabulary)
        {
            ReadOnlySpan<double> p = LogProbabilities.AsSpan(at, vocabulary), q = other.LogProbabilities.AsSpan(at, vocabulary);
            for (int i = 0; i < vocabulary; i++) divergence += Math.Exp(p[i]) * (p[i] - q[i]);
            same += IndexOfLargest(p) == IndexOfLargest(q) ? 1 : 0;
        }

        return (divergence, same);
    }

    private static void LogSoftmax(ReadOnlySpan<float> logits, Span<double> result)
    {
        double max = float.NegativeInfinity, sum = 0;
        foreach (float logit in logits) max = Math.Max(max, logit);
        foreach (float logit in logits) sum += Math.Exp(logit - max);
        double normaliser = max + Math.Log(sum);
        for (int i = 0; i < result.Length; i++) result[i] = logits[i] - normaliser;
    }

    private static int IndexOfLargest(ReadOnlySpan<double> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > values[best]) best = i;
        }

        return best;
    }
}
