namespace KvHandoff.Fuzz;

/// <summary>Time that passes when the lab says so: deadlines and leases fire in the same order on every machine.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<Timer> _timers = [];
    private long _now;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    internal TimeSpan Now => new(Volatile.Read(ref _now));

    public override long GetTimestamp() => Volatile.Read(ref _now);

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch + Now;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new Timer(this, callback, state);
        timer.Change(dueTime, period);
        lock (_gate) _timers.Add(timer);
        return timer;
    }

    /// <summary>Lets time pass and fires every timer that is due by then, each once.</summary>
    internal void Advance(TimeSpan by)
    {
        Timer[] timers;
        long now;
        lock (_gate)
        {
            now = _now += by.Ticks;
            timers = [.. _timers];
        }

        foreach (Timer timer in timers) timer.FireIfDue(now);
    }

    private sealed class Timer(ManualTime time, TimerCallback callback, object? state) : ITimer
    {
        private readonly Lock _gate = new();
        private long _due = long.MaxValue, _period;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (_gate)
            {
                _due = dueTime < TimeSpan.Zero ? long.MaxValue : time.GetTimestamp() + dueTime.Ticks;
                _period = period <= TimeSpan.Zero ? 0 : period.Ticks;
            }

            return true;
        }

        internal void FireIfDue(long now)
        {
            lock (_gate)
            {
                if (now < _due) return;
                _due = _period == 0 ? long.MaxValue : now + _period;
            }

            callback(state);
        }

        public void Dispose()
        {
            lock (time._gate) time._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
