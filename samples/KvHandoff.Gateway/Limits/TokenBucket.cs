namespace KvHandoff.Gateway.Limits;

/// <summary>
/// An allowance that refills evenly over a period and is never more than full. It may be overdrawn when a request turns out dearer than its
/// estimate; the debt is paid by the refill.
/// </summary>
/// <remarks>Not thread-safe: <see cref="KeyAccount"/> locks its four together.</remarks>
internal sealed class TokenBucket(long capacity, TimeSpan period, TimeProvider time)
{
    private double _level = capacity;
    private long _at = time.GetTimestamp();

    /// <summary>What a full one holds.</summary>
    internal long Capacity => capacity;

    /// <summary>What may be taken now, 0 or more.</summary>
    internal long Remaining
    {
        get
        {
            Refill();
            return (long)Math.Max(0, Math.Floor(_level));
        }
    }

    /// <summary>Until it is full again, if nothing more is taken.</summary>
    internal TimeSpan UntilFull => Until(capacity);

    /// <summary>Until it holds <paramref name="amount"/>; zero if it does, <see cref="TimeSpan.MaxValue"/> if it never can.</summary>
    internal TimeSpan Until(long amount)
    {
        if (amount > capacity) return TimeSpan.MaxValue;
        Refill();
        return _level >= amount ? TimeSpan.Zero : TimeSpan.FromSeconds((amount - _level) / capacity * period.TotalSeconds);
    }

    /// <summary>Takes so much, or gives it back where negative.</summary>
    internal void Take(long amount)
    {
        Refill();
        _level = Math.Min(capacity, _level - amount);
    }

    private void Refill()
    {
        long now = time.GetTimestamp();
        _level = Math.Min(capacity, _level + time.GetElapsedTime(_at, now).TotalSeconds / period.TotalSeconds * capacity);
        _at = now;
    }
}
