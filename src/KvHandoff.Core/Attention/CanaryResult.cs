using System.Collections.Immutable;

namespace KvHandoff.Attention;

/// <summary>Outcome of a canary.</summary>
public enum CanaryOutcome
{
    /// <summary>Every pair is within its tolerance.</summary>
    Passed,

    /// <summary>A pair is not: what landed does not attend as what was sent.</summary>
    Deviates,

    /// <summary>The set does not fit the model; nothing was computed.</summary>
    Malformed,

    /// <summary>No part held a pair's layer, head and tokens.</summary>
    NotHeld,
}

/// <summary>What a receiver found.</summary>
/// <param name="Outcome">Passed, or why not.</param>
/// <param name="Text">For people: the first reason; empty when passed.</param>
/// <param name="Deviations">Every pair that was compared, in the order of the set.</param>
public sealed record CanaryResult(CanaryOutcome Outcome, string Text, ImmutableArray<CanaryDeviation> Deviations)
{
    /// <summary>Whether the cache may be published.</summary>
    public bool HasPassed => Outcome == CanaryOutcome.Passed;

    /// <summary>The largest error of all pairs; 0 when none was compared.</summary>
    public float LargestError
    {
        get
        {
            float largest = 0;
            foreach (CanaryDeviation deviation in Deviations) largest = Math.Max(largest, deviation.Error);
            return largest;
        }
    }
}
