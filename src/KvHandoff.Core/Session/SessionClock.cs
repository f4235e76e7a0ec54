namespace KvHandoff.Session;

/// <summary>Milliseconds since some moment, by the host's clock or by a test's: for deadlines and leases, which are durations.</summary>
internal readonly struct SessionClock(TimeProvider time)
{
    internal TimeProvider Time => time;

    internal long NowMilliseconds => (long)time.GetElapsedTime(0).TotalMilliseconds;
}
