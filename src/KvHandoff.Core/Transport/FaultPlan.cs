using System.Collections.Immutable;

namespace KvHandoff.Transport;

/// <summary>What a <see cref="FaultTransport"/> does to one message.</summary>
public enum FaultKind
{
    /// <summary>The message is not sent, and its sender is told that it was.</summary>
    Drop,

    /// <summary>The message is sent twice.</summary>
    Duplicate,

    /// <summary>The message is sent after the next one of its connection; it is lost when there is none.</summary>
    Reorder,

    /// <summary>A part of the message is sent, and then the connection ends.</summary>
    Truncate,

    /// <summary>One bit of the message is inverted, in a copy.</summary>
    Flip,

    /// <summary>The message waits for <see cref="FaultPlan.Gate"/>, or for the connection to be aborted.</summary>
    Stall,

    /// <summary>The connection breaks before the message.</summary>
    DisconnectBefore,

    /// <summary>The message is sent, and then the connection ends.</summary>
    DisconnectAfter,
}

/// <summary>Which connections of a transport have faults in what they send.</summary>
[Flags]
public enum FaultSides
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Those that this transport made by connecting.</summary>
    Connecting = 1,

    /// <summary>Those that its listeners accepted.</summary>
    Accepting = 2,

    /// <summary>All.</summary>
    Both = Connecting | Accepting,
}

/// <summary>One fault at one place.</summary>
/// <param name="Side">The side that sends.</param>
/// <param name="Connection">From 0, in the order of completed connects or accepts of that side.</param>
/// <param name="Message">From 0; message 0 of a session's connection is its preface.</param>
/// <param name="Kind">What happens.</param>
/// <param name="At">Bit to invert, or bytes to send before the end; -1 leaves it to the seed. Reduced to the length of the message.</param>
public readonly record struct ScriptedFault(FaultSides Side, int Connection, long Message, FaultKind Kind, long At = -1);

/// <summary>One fault that happened.</summary>
/// <param name="Side">The side that sent.</param>
/// <param name="Connection">Its connection, from 0.</param>
/// <param name="Message">Its message, from 0.</param>
/// <param name="Kind">What happened.</param>
/// <param name="MessageBytes">Bytes of the message.</param>
/// <param name="At">The bit that was inverted, or the bytes that were sent before the end; else 0.</param>
public readonly record struct FaultEvent(FaultSides Side, int Connection, long Message, FaultKind Kind, long MessageBytes, long At);

/// <summary>
/// Which messages suffer which fault: a script, or probabilities drawn from a seed. The draw depends on the seed, the side, the number of the
/// connection and the number of the message alone, and not on time or threads.
/// </summary>
/// <remarks>Thread-safe. A plan may serve one transport at a time; its record grows with the faults.</remarks>
public sealed class FaultPlan
{
    private static readonly int KindCount = Enum.GetValues<FaultKind>().Length;

    private readonly Dictionary<(FaultSides, int, long), ScriptedFault> _script = [];
    private readonly double[] _upTo = new double[KindCount];
    private readonly List<FaultEvent> _events = [];
    private readonly ulong _seed;

    /// <summary>A plan without faults, until <see cref="WithRate"/> or <see cref="With"/> adds some.</summary>
    /// <param name="seed">Equal seeds give equal faults.</param>
    /// <param name="sides">Whose messages suffer.</param>
    public FaultPlan(ulong seed = 0, FaultSides sides = FaultSides.Connecting)
    {
        _seed = seed;
        Sides = sides;
    }

    /// <summary>Whose messages suffer.</summary>
    public FaultSides Sides { get; }

    /// <summary>Messages below this number have no faults by probability: 1 spares the preface of each connection.</summary>
    /// <remarks>Defaults to 0: none is spared.</remarks>
    public long FirstMessage { get; init; }

    /// <summary>What stalled messages wait for.</summary>
    public FaultGate Gate { get; } = new();

    /// <summary>What has happened so far, in the order in which it did.</summary>
    public ImmutableArray<FaultEvent> Events
    {
        get
        {
            lock (_events)
                return [.. _events];
        }
    }

    /// <summary>Gives <paramref name="kind"/> a probability per message, 0 to 1, all kinds together at most 1. To be called before use.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability, or their sum, is out of range.</exception>
    public FaultPlan WithRate(FaultKind kind, double probability)
    {
        if (!(probability is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(probability), $"The probability of {kind} is {probability}; allowed: 0 to 1.");
        double before = _upTo[(int)kind] - ((int)kind > 0 ? _upTo[(int)kind - 1] : 0), sum = _upTo[^1] - before + probability;
        if (sum > 1 + 1e-9)
            throw new ArgumentOutOfRangeException(nameof(probability), $"With {kind} at {probability} the probabilities sum to {sum}; allowed: at most 1.");
        for (int k = (int)kind; k < KindCount; k++) _upTo[k] += probability - before;
        return this;
    }

    /// <summary>Adds a fault at one place, where it comes before any probability. To be called before use.</summary>
    /// <exception cref="ArgumentException">The place has a fault already, or is on no one side.</exception>
    public FaultPlan With(ScriptedFault fault)
    {
        if (fault.Side is not (FaultSides.Connecting or FaultSides.Accepting) || !Sides.HasFlag(fault.Side))
            throw new ArgumentException($"The fault is for side {fault.Side}; this plan has {Sides}.", nameof(fault));
        if (!_script.TryAdd((fault.Side, fault.Connection, fault.Message), fault))
            throw new ArgumentException($"Message {fault.Message} of connection {fault.Connection}, {fault.Side}, has a fault already.", nameof(fault));
        return this;
    }

    /// <summary>The fault of a message and where in it, null for none.</summary>
    internal (FaultKind Kind, long At)? Decide(FaultSides side, int connection, long message, long messageBytes)
    {
        ulong place = Mix(Mix(Mix(_seed ^ (ulong)side) ^ (uint)connection) ^ (ulong)message);
        if (_script.TryGetValue((side, connection, message), out ScriptedFault fault)) return (fault.Kind, Place(fault.Kind, fault.At, place, messageBytes));
        if (message < FirstMessage) return null;
        double draw = (place >> 11) * (1.0 / (1UL << 53));
        for (int k = 0; k < KindCount; k++)
            if (draw < _upTo[k]) return ((FaultKind)k, Place((FaultKind)k, -1, place, messageBytes));
        return null;
    }

    internal void Record(FaultEvent happened)
    {
        lock (_events) _events.Add(happened);
    }

    private static long Place(FaultKind kind, long at, ulong place, long messageBytes)
    {
        ulong length = kind switch { FaultKind.Flip => (ulong)messageBytes * 8, FaultKind.Truncate => (ulong)messageBytes, _ => 0 };
        return length == 0 ? 0 : (long)((at < 0 ? Mix(place + 1) : (ulong)at) % length);
    }

    // SplitMix64: neighbouring places give unrelated numbers.
    private static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}

/// <summary>Holds stalled messages until it is opened. Thread-safe.</summary>
public sealed class FaultGate
{
    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _waiting;

    /// <summary>Messages that wait now.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Lets everything through that waits, and all that comes.</summary>
    public void Open() => _opened.TrySetResult();

    internal async Task WaitAsync(Task aborted)
    {
        Interlocked.Increment(ref _waiting);
        await Task.WhenAny(_opened.Task, aborted).ConfigureAwait(false);
        Interlocked.Decrement(ref _waiting);
    }
}
