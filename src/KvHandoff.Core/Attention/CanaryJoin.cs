using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>What one member of a group found for a pair, and the tokens of the sequence that it holds.</summary>
internal readonly record struct CanaryShare(int Member, IndexRange Held, CanaryPartial Partial);

/// <summary>
/// Joins what receivers of different tokens found, pair by pair, by log-sum-exp, and compares it with what the sender's attention gave. Receivers of the same
/// tokens are replicas: each is compared once, together with one receiver of every other part.
/// </summary>
internal static class CanaryJoin
{
    /// <summary>The first pair that deviates, with its layer and head, or null. Pairs of which some tokens were not reported are not compared.</summary>
    internal static string? FirstDeviation(IEnumerable<CanaryShare> shares)
    {
        // The order of groups is that of the first share of each: the same for every order in which members reported when the caller sorts by member.
        foreach (IGrouping<UInt128, CanaryShare> pair in shares.GroupBy(s => s.Partial.Query))
        {
            if (Deviation([.. pair]) is { } deviation) return deviation;
        }

        return null;
    }

    private static string? Deviation(CanaryShare[] shares)
    {
        CanaryPartial pair = shares[0].Partial;
        IndexRange[] ranges = [.. shares.Select(s => Overlap(s.Held, pair.Attended))];
        // Shares as steps from one token to another: every path from the first attended token to the last is one way to hold them all.
        var reach = new Dictionary<int, int> { [pair.Attended.Start] = -1 };
        foreach (int i in Enumerable.Range(0, shares.Length).Where(i => ranges[i].Count > 0).OrderBy(i => ranges[i].Start))
        {
            if (reach.ContainsKey(ranges[i].Start)) reach.TryAdd(ranges[i].End, i);
        }

        var leave = new Dictionary<int, int> { [pair.Attended.End] = -1 };
        foreach (int i in Enumerable.Range(0, shares.Length).Where(i => ranges[i].Count > 0).OrderByDescending(i => ranges[i].End))
        {
            if (leave.ContainsKey(ranges[i].End)) leave.TryAdd(ranges[i].Start, i);
        }

        var compared = new bool[shares.Length];
        for (int i = 0; i < shares.Length; i++)
        {
            if (compared[i] || ranges[i].Count == 0 || !reach.ContainsKey(ranges[i].Start) || !leave.ContainsKey(ranges[i].End)) continue;
            var path = new List<int> { i };
            for (int at = reach[ranges[i].Start]; at >= 0; at = reach[ranges[at].Start]) path.Insert(0, at);
            for (int at = leave[ranges[i].End]; at >= 0; at = leave[ranges[at].End]) path.Add(at);
            if (Deviation([.. path.Select(p => shares[p])], shares[i].Partial) is { } deviation) return deviation;
            foreach (int p in path) compared[p] |= shares[p].Partial.Expected.Span.SequenceEqual(shares[i].Partial.Expected.Span);
        }

        return null;
    }

    private static string? Deviation(CanaryShare[] path, CanaryPartial pair)
    {
        string members = string.Join(", ", path.Select(s => $"{s.Held.Start}..{s.Held.End} of receiver {s.Member}"));
        float[] output = pair.Output.ToArray();
        float logSumExp = float.NegativeInfinity;
        CanaryPrecision precision = pair.Precision;
        foreach (CanaryShare share in path)
        {
            CanaryPartial partial = share.Partial;
            if (partial.Output.Length != output.Length || partial.Attended != pair.Attended || partial.IsSeeded != pair.IsSeeded || partial.Sink != pair.Sink || (partial.Layer, partial.Head) != (pair.Layer, pair.Head))
                return $"The states of layer {pair.Layer}, head {pair.Head} are not of one query: {partial.Output.Length} elements at receiver {share.Member}, {output.Length} elsewhere.";
            if (partial.Precision > precision) precision = partial.Precision;
            SoftmaxState.Merge(output, ref logSumExp, partial.Output.Span, partial.LogSumExp);
        }

        float error = float.IsFinite(logSumExp) ? AttentionCanary.Error(output, AttentionCanary.SinkFactor(pair.Sink, logSumExp), pair.Expected.Span) : float.PositiveInfinity;
        var found = new CanaryDeviation(pair.Layer, pair.Head, error, CanaryTolerance.Of(precision, pair.IsSeeded));
        return found.IsWithin ? null : $"The {found}, over tokens {members}.";
    }

    private static IndexRange Overlap(IndexRange a, IndexRange b)
    {
        int start = Math.Max(a.Start, b.Start);
        return new IndexRange(start, Math.Max(0, Math.Min(a.End, b.End) - start));
    }
}
