using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>What the progress thread looks after.</summary>
internal interface IUcxProgressed
{
    /// <summary>Lets UCX work where nobody else does, and says what to wait for.</summary>
    UcxAttention Look();

    /// <summary>Whether a look is wanted.</summary>
    bool IsWished { get; }

    /// <summary>Whether a look is wanted since the last question.</summary>
    bool TakeWish();

    /// <summary>The progress thread's: the event descriptor was readable.</summary>
    bool HasSpoken { get; set; }

    /// <summary>Readable when there is something to do, after <see cref="UcxAttention.Armed"/>.</summary>
    int EventDescriptor { get; }
}

/// <summary>When the progress thread has to look again.</summary>
internal enum UcxAttention
{
    /// <summary>When a look is wanted: a thread of its own is waiting inside.</summary>
    WhenAsked,

    /// <summary>In a millisecond: something is under way.</summary>
    Soon,

    /// <summary>In ten: callers come and go.</summary>
    Later,

    /// <summary>When its event descriptor is readable.</summary>
    Armed,

    /// <summary>Never again.</summary>
    Ended,
}

/// <summary>
/// The one thread of the process that lets UCX work on connections that no caller is inside of: what was sent leaves, peers' ends are seen, connections close. Callers that
/// wait work for themselves.
/// </summary>
internal static partial class UcxProgress
{
    private const int SoonMilliseconds = 1, LaterMilliseconds = 10, LongestMilliseconds = 5000;
    private const short Readable = 1;

    private static readonly Lock Gate = new();
    private static readonly List<IUcxProgressed> Added = [];
    private static readonly Lazy<int> Bell = new(Start);
    private static int _sleeping;

    /// <summary>Looks after <paramref name="item"/> until it has ended.</summary>
    internal static void Add(IUcxProgressed item)
    {
        lock (Gate) Added.Add(item);
        Ring(Bell.Value);
    }

    /// <summary>A look is wanted, at once or when it is due anyway.</summary>
    internal static void Wish(bool atOnce)
    {
        if (Interlocked.Exchange(ref _sleeping, 0) != 0 || atOnce) Ring(Bell.Value);
    }

    /// <summary>Waits until a descriptor is readable, or for so long.</summary>
    internal static unsafe void WaitReadable(int descriptor, int milliseconds)
    {
        PollEntry entry = new() { Descriptor = descriptor, Events = Readable };
        _ = Poll(&entry, 1, milliseconds);
    }

    private static int Start()
    {
        const int NonBlocking = 0x800, CloseOnExec = 0x80000;
        int bell = EventFd(0, NonBlocking | CloseOnExec);
        if (bell < 0) throw new IOException($"eventfd failed: {Marshal.GetLastPInvokeErrorMessage()}");
        new Thread(() => Run(bell)) { IsBackground = true, Name = "kvhandoff-ucx" }.Start();
        return bell;
    }

    private static void Run(int bell)
    {
        List<(IUcxProgressed Item, UcxAttention Attention)> items = [];
        PollEntry[] entries = [];
        while (true)
        {
            lock (Gate)
            {
                foreach (IUcxProgressed item in Added) items.Add((item, UcxAttention.Soon));
                Added.Clear();
            }

            if (entries.Length <= items.Count) entries = new PollEntry[2 * items.Count + 8];
            int armed = 0, timeout = LongestMilliseconds;
            for (int i = items.Count - 1; i >= 0; i--)
            {
                (IUcxProgressed item, UcxAttention attention) = items[i];
                // Entries of the last round: one that was armed and is silent needs no look.
                bool due = item.TakeWish() || attention is UcxAttention.Soon or UcxAttention.Later || (attention == UcxAttention.Armed && item.HasSpoken);
                if (due) attention = item.Look();
                items[i] = (item, attention);
                if (attention == UcxAttention.Ended) items.RemoveAt(i);
                else if (attention == UcxAttention.Soon) timeout = SoonMilliseconds;
                else if (attention == UcxAttention.Later) timeout = Math.Min(timeout, LaterMilliseconds);
            }

            entries[armed++] = new PollEntry { Descriptor = bell, Events = Readable };
            foreach ((IUcxProgressed item, UcxAttention attention) in items)
                if (attention == UcxAttention.Armed) entries[armed++] = new PollEntry { Descriptor = item.EventDescriptor, Events = Readable };

            if (timeout == LongestMilliseconds)
            {
                Interlocked.Exchange(ref _sleeping, 1);
                foreach ((IUcxProgressed item, _) in items)
                    if (item.IsWished) timeout = 0;
            }

            Wait(entries.AsSpan(0, armed), timeout);
            Interlocked.Exchange(ref _sleeping, 0);
            Silence(bell);
            int next = 1;
            foreach ((IUcxProgressed item, UcxAttention attention) in items)
                if (attention == UcxAttention.Armed) item.HasSpoken = entries[next++].Happened != 0;
        }
    }

    private static unsafe void Wait(Span<PollEntry> entries, int milliseconds)
    {
        fixed (PollEntry* first = entries) _ = Poll(first, (nuint)entries.Length, milliseconds);
    }

    private static unsafe void Ring(int bell)
    {
        ulong one = 1;
        _ = Write(bell, &one, sizeof(ulong));
    }

    private static unsafe void Silence(int bell)
    {
        ulong count;
        _ = Read(bell, &count, sizeof(ulong));
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Happened;
    }

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int EventFd(uint count, int flags);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static unsafe partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "write")]
    private static unsafe partial nint Write(int descriptor, void* bytes, nuint count);

    [LibraryImport("libc", EntryPoint = "read")]
    private static unsafe partial nint Read(int descriptor, void* bytes, nuint count);
}
