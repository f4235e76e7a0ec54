using System.Diagnostics;

namespace KvHandoff.Session;

/// <summary>
/// When a thread that waits for a peer looks for the answer instead of going to sleep: for about as long as a peer that is awake needs, and not
/// for a while where that was in vain three times in a row.
/// </summary>
/// <remarks>Threads may share one; a lost count does no harm.</remarks>
internal sealed class AnswerSpin
{
    // A thread that sleeps is awake again after 30 to 100 us. With one processor the peer could not answer meanwhile.
    private static readonly long LongestTicks = Environment.ProcessorCount == 1 ? 0 : Stopwatch.Frequency / 1_000_000 * 100;

    private const int FailuresUntilPause = 3, WaitsUntilRetry = 4;

    private int _failures, _paused;

    /// <summary>Whether this wait may begin by looking.</summary>
    internal bool MayBegin()
    {
        if (_paused <= 0) return LongestTicks > 0;
        _paused--;
        return false;
    }

    /// <summary>Whether a look that began at <paramref name="started"/> may go on.</summary>
    internal static bool MayGoOn(long started) => Stopwatch.GetTimestamp() - started < LongestTicks;

    internal void Found() => _failures = 0;

    // One more failure after a pause is enough for the next one.
    internal void NotFound()
    {
        if (++_failures >= FailuresUntilPause) (_failures, _paused) = (FailuresUntilPause - 1, WaitsUntilRetry);
    }
}
