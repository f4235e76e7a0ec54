using KvHandoff.Layout;
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

        if (!await SettleAsync(done, PatientRounds) && !await SettlesLateAsync(done)) NotTerminal($"not at an end {(_time.Now).TotalSeconds} s after the offer; the deadline was {Deadline.TotalSeconds} s");
    }

    private Task<bool> SettleAsync(Func<bool> done, bool stalls) => SettleAsync(done, stalls ? StallRounds : PatientRounds);

    /// <summary>Waits until nothing moves any more.</summary>
    private Task SettleAsync() => SettleAsync(() => false, TickRounds);

    /// <summary>Whether the condition holds once nothing moves any more. In steps that is known; else nothing has moved for so many rounds, or the condition holds.</summary>
    private async Task<bool> SettleAsync(Func<bool> done, int rounds)
    {
        if (_network is not null)
        {
            await _network.QuietAsync();
            return done();
        }

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

    /// <summary>Some waits of the library are for the clock on the wall: they end within a few seconds, while the case stands still.</summary>
    private async Task<bool> SettlesLateAsync(Func<bool> done)
    {
        for (int i = 0; i < 100; i++)
        {
            if (await SettleAsync(done, TickRounds)) return true;
            await Task.Delay(50);
        }

        return false;
    }

    /// <summary>Waits for a call, and then until nothing moves any more.</summary>
    private async Task EndsAsync(Task task)
    {
        if (_network is not null && !await SettleAsync(() => task.IsCompleted, TickRounds)) await SettlesLateAsync(() => task.IsCompleted);
        await task.WaitAsync(Patience);
        if (_network is not null) await SettleAsync();
    }

    private long Moved() => _receivers.Sum(r => r.DataBytesReceived * 31 + r.OpenHandoffs * 7_919L + r.FencedFrames) + _senders.Sum(s => s.DataBytesSent) + _plan.Events.Length * 1_000_003L;

    private int UsedBlocks => _sources.Sum(c => c.UsedBlocks) + _targets.Sum(c => c.UsedBlocks);

    /// <summary>Everything is given back, whatever happened.</summary>
    private async Task EndAsync()
    {
        _plan.Gate.Open();
        _result.Faults = _spec.IsNetworkFault ? _plan.Events.Length : _spec.Fault == LabFault.None ? 0 : 1;
        try
        {
            for (int i = 0; i < 40 && UsedBlocks > 0; i++)
            {
                if (await SettleAsync(() => UsedBlocks == 0, i < 20 ? TickRounds : 50)) break;
                _time.Advance(Tick);
            }

            _result.LeakedBlocks = UsedBlocks;
            if (_result.LeakedBlocks > 0) Break($"{_targets.Sum(c => c.UsedBlocks)} blocks of the receivers and {_sources.Sum(c => c.UsedBlocks)} of the senders are held");
            await DisposeAsync().AsTask().WaitAsync(Patience);
        }
        catch (Exception e)
        {
            NotTerminal($"the end did not come: {e}");
        }

        if (_network is not null) Stillness.Process.Leave(_network);
        foreach (IDisposable registration in _registrations) registration.Dispose();
        if (_result.NotTerminal || _result.LeakedBlocks > 0) return;
        foreach (PagedKvCache cache in _sources) cache.Dispose();
        foreach (PagedKvCache cache in _targets) cache.Dispose();
        _shared?.Dispose();
    }
}
