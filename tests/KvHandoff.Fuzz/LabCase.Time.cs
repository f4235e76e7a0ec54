using KvHandoff.Session;

namespace KvHandoff.Fuzz;

// When a case waits, when it lets time pass, and what has to be true at its end.
internal sealed partial class LabCase
{
    private const int PatientRounds = 2000, StallRounds = 20, TickRounds = 5;

    /// <summary>Lets deadlines come until the condition holds; one that does not hold after all of them is a broken promise.</summary>
    private async Task DriveAsync(Func<bool> done)
    {
        TimeSpan until = _time.Now + Deadline + Lease + _spec.Resume + 4 * Tick;
        bool stalls = _spec.MayStall || _spec.IsNetworkFault;
        if (await SettleAsync(done, stalls)) return;
        while (_time.Now < until)
        {
            _time.Advance(Tick);
            if (await SettleAsync(done, TickRounds)) return;
        }

        if (!await SettleAsync(done, PatientRounds)) NotTerminal($"not at an end {(_time.Now).TotalSeconds} s after the offer; the deadline was {Deadline.TotalSeconds} s");
    }

    private Task<bool> SettleAsync(Func<bool> done, bool stalls) => SettleAsync(done, stalls ? StallRounds : PatientRounds);

    /// <summary>True as soon as the condition holds; false when nothing has moved for so many rounds.</summary>
    private async Task<bool> SettleAsync(Func<bool> done, int rounds)
    {
        long before = Moved();
        for (int quiet = 0; quiet < rounds; quiet++)
        {
            if (done()) return true;
            // By the timer and through the pool: what was queued before has run.
            await Task.Delay(1);
            await Task.Yield();
            long now = Moved();
            if (now != before) quiet = 0;
            before = now;
        }

        return done();
    }

    private long Moved() =>
        (_receiver?.DataBytesReceived ?? 0) * 31 + (_sender?.DataBytesSent ?? 0) + _plan.Events.Length * 1_000_003L + (_receiver?.OpenHandoffs ?? 0) * 7_919L + (_receiver?.FencedFrames ?? 0);

    /// <summary>Everything is given back, whatever happened.</summary>
    private async Task EndAsync()
    {
        _plan.Gate.Open();
        _result.Faults = _spec.IsNetworkFault ? _plan.Events.Length : _spec.Fault == LabFault.None ? 0 : 1;
        try
        {
            for (int i = 0; i < 40 && _target.UsedBlocks + _source.UsedBlocks > 0; i++)
            {
                if (await SettleAsync(() => _target.UsedBlocks + _source.UsedBlocks == 0, i < 20 ? TickRounds : 50)) break;
                _time.Advance(Tick);
            }

            _result.LeakedBlocks = _target.UsedBlocks + _source.UsedBlocks;
            if (_result.LeakedBlocks > 0) Break($"{_target.UsedBlocks} blocks of the receiver and {_source.UsedBlocks} of the sender are held");
            await DisposeAsync().AsTask().WaitAsync(Patience);
        }
        catch (Exception e)
        {
            NotTerminal($"the end did not come: {e.GetType().Name} {e.Message}");
        }

        _registration?.Dispose();
        if (_result.NotTerminal || _result.LeakedBlocks > 0) return;
        _source.Dispose();
        _target.Dispose();
        _shared?.Dispose();
    }
}
