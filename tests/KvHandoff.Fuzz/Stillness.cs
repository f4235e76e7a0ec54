using System.Text;

namespace KvHandoff.Fuzz;

/// <summary>
/// Knows when nothing in this process runs any more, and then lets every case take one step. All threads are seen asleep, and a second look finds that none ran
/// since the first: then there was a moment at which all slept, and only a clock or the lab could wake one.
/// </summary>
/// <remarks>Linux, whose /proc has the state of every thread. Work that has nothing to do with the lab is waited for as well: run nothing beside it.</remarks>
internal sealed class Stillness
{
    // A machine that gives no processor, or a debugger, must not stop the lab for ever; its outcomes are then no longer of the seed alone.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Lock _gate = new();
    private readonly List<StepNetwork> _cases = [];
    private readonly Dictionary<string, long> _before = [], _now = [];
    private readonly byte[] _status = new byte[4096];
    private Thread? _watcher;
    private string _own = "";

    // Who was awake at the last look: as a rule it still is, which costs one look instead of one per thread.
    private string? _awake;

    private Stillness()
    {
    }

    internal static Stillness Process { get; } = new();

    /// <summary>Times that stillness was not waited for to the end.</summary>
    internal int GivenUp { get; private set; }

    internal void Join(StepNetwork network)
    {
        lock (_gate)
        {
            _cases.Add(network);
            if (_watcher is not null) return;
            _watcher = new Thread(Watch) { IsBackground = true, Name = "lab stillness" };
            _watcher.Start();
        }
    }

    internal void Leave(StepNetwork network)
    {
        lock (_gate) _cases.Remove(network);
    }

    private void Watch()
    {
        _own = Path.GetFileName(new FileInfo("/proc/thread-self").LinkTarget!);
        long waitingSince = Environment.TickCount64;
        for (int looks = 0; ; looks++)
        {
            StepNetwork[] cases;
            lock (_gate)
            {
                if (_cases.Count == 0)
                {
                    _watcher = null;
                    return;
                }

                cases = [.. _cases];
            }

            if (!IsStill())
            {
                if (Environment.TickCount64 - waitingSince < Patience.TotalMilliseconds)
                {
                    Thread.Sleep(looks % 8 == 7 ? 1 : 0);
                    continue;
                }

                GivenUp++;
            }

            waitingSince = Environment.TickCount64;
            bool acted = false;
            foreach (StepNetwork network in cases) acted |= network.Step();
            if (!acted) Thread.Sleep(1);
        }
    }

    private bool IsStill()
    {
        if (ThreadPool.PendingWorkItemCount > 0) return false;
        if (_awake is not null && IsAwake(_awake, out _)) return false;
        if (!Look(_before) || !Look(_now) || ThreadPool.PendingWorkItemCount > 0 || _before.Count != _now.Count) return false;
        foreach ((string thread, long switches) in _now)
        {
            if (!_before.TryGetValue(thread, out long earlier) || earlier != switches) return false;
        }

        return true;
    }

    // Per thread how often it was switched to; false as soon as one is awake.
    private bool Look(Dictionary<string, long> threads)
    {
        threads.Clear();
        foreach (string path in Directory.GetDirectories("/proc/self/task"))
        {
            if (path.EndsWith(_own, StringComparison.Ordinal) && Path.GetFileName(path) == _own) continue;
            if (IsAwake(path, out long switches))
            {
                _awake = path;
                return false;
            }

            threads[path] = switches;
        }

        _awake = null;
        return true;
    }

    private bool IsAwake(string path, out long switches)
    {
        switches = 0;
        try
        {
            using FileStream file = new(path + "/status", FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            ReadOnlySpan<byte> status = _status.AsSpan(0, file.Read(_status));
            // The compiler of hot methods works on its own and wakes nobody.
            if (status.StartsWith("Name:\t.NET Tiered"u8)) return false;
            switches = Number(After(status, "\nvoluntary_ctxt_switches:\t"u8)) + Number(After(status, "\nnonvoluntary_ctxt_switches:\t"u8));
            return After(status, "\nState:\t"u8) is not [(byte)'S', ..];
        }
        catch (IOException)
        {
            // It has ended meanwhile; what it woke is seen at the next look.
            return false;
        }
    }

    private static ReadOnlySpan<byte> After(ReadOnlySpan<byte> status, ReadOnlySpan<byte> name)
    {
        int at = status.IndexOf(name);
        return at < 0 ? default : status[(at + name.Length)..];
    }

    private static long Number(ReadOnlySpan<byte> digits)
    {
        int end = digits.IndexOf((byte)'\n');
        return long.TryParse(Encoding.ASCII.GetString(end < 0 ? digits : digits[..end]), out long number) ? number : 0;
    }
}
