using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>
/// One handoff between real senders and real receivers, with what the case asks for going wrong. The lab waits until nothing moves any more before it
/// lets time pass, so that what ends a handoff is the fault and not the machine's load.
/// </summary>
internal sealed partial class LabCase : IAsyncDisposable
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(500), Lease = TimeSpan.FromSeconds(2), Deadline = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static int _names;

    private readonly CaseSpec _spec;
    private readonly LabOptions _options;
    private readonly CaseResult _result;
    private readonly ManualTime _time = new();
    private readonly FaultPlan _plan;
    private readonly StepNetwork? _network;
    private readonly List<IDisposable> _registrations = [];
    private readonly string _scheme, _name;
    private readonly SharedSlab? _shared;
    private readonly List<PagedKvCache> _sources = [], _targets = [];
    private readonly List<KvReceiver> _receivers = [];
    private readonly List<KvSender> _senders = [];

    private LabCase(CaseSpec spec, LabOptions options)
    {
        _spec = spec;
        _options = options;
        _result = new CaseResult { Spec = spec };
        _plan = new FaultPlan((ulong)spec.Seed, FaultSides.Both);
        if (spec.Script is { } script) _plan.With(script);
        _name = $"lab{Interlocked.Increment(ref _names)}";
        _scheme = options.Transport;
        ITransport inner;
        if (options.Transport == LoopbackTransport.Scheme)
        {
            _network = new StepNetwork(spec.Seed);
            inner = new StepTransport(_scheme = $"{_name}step+{LoopbackTransport.Scheme}", _network);
            _registrations.Add(Transports.Register(inner));
            Stillness.Process.Join(_network);
        }
        else
        {
            Transports.TryGet(_scheme, out inner!);
        }

        if (spec.IsNetworkFault)
        {
            var faulty = new FaultTransport(inner, _plan, _name);
            _registrations.Add(Transports.Register(faulty));
            _scheme = faulty.Name;
        }

        if (spec.Kind == CaseKind.Group) return;
        _sources.Add(PagedKvCache.Allocate(spec.Source, spec.Tokens));
        int block = spec.Target.Groups.Max(g => g.BlockTokens);
        int room = spec.Fault == LabFault.TooLong ? spec.Tokens - Math.Max(block, 1) : spec.Tokens;
        int tokens = Math.Max(1, room);
        if (options.Transport == "shm") _shared = SharedSlab.Create("kvhandoff-lab", PagedKvCache.RequiredBytes(spec.Target, tokens));
        _targets.Add(_shared is null ? PagedKvCache.Allocate(spec.Target, tokens) : PagedKvCache.Over(spec.Target, _shared, tokens));
    }

    internal static async Task<CaseResult> RunAsync(CaseSpec spec, LabOptions options)
    {
        long started = Stopwatch.GetTimestamp();
        var running = new LabCase(spec, options);
        try
        {
            await running.RunAsync();
        }
        catch (Exception e)
        {
            running._result.Broken ??= $"the lab met {e.GetType().Name}: {e.Message}{e.StackTrace}";
        }

        await running.EndAsync();
        running._result.Elapsed = Stopwatch.GetElapsedTime(started);
        return running._result;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (KvSender sender in _senders) await sender.DisposeAsync();
        foreach (KvReceiver receiver in _receivers) await receiver.DisposeAsync();
    }

    private PagedKvCache Source => _sources[0];

    private PagedKvCache Target => _targets[0];

    private KvReceiver Receiver => _receivers[0];

    private KvReceiverOptions ReceiverOptions => new()
    {
        Name = "lab receiver",
        Lease = Lease,
        TimeProvider = _time,
        Without = _options.Without,
        HandshakeTimeout = HandshakeTimeout,
        Admission = _spec.Fault == LabFault.Refused ? _ => AdmissionVerdict.Refuse("the lab says no") : null,
    };

    private KvSenderOptions SenderOptions => new()
    {
        Name = "lab sender",
        Streams = _spec.Streams,
        Codec = _spec.Codec,
        TimeProvider = _time,
        ResumeWithin = _spec.Resume,
        HandshakeTimeout = HandshakeTimeout,
    };

    // In steps a machine that is busy with other work must not let it pass; what is lost in a handshake waits for a deadline of the lab's own time.
    private TimeSpan HandshakeTimeout => TimeSpan.FromSeconds(_network is null ? 2 : 15);

    private string EndpointOf(int receiver) => _options.Transport switch
    {
        "tcp" or "ucx" => $"{_scheme}://127.0.0.1:0",
        LoopbackTransport.Scheme => $"{_scheme}://{_name}r{receiver}",
        _ => $"{_scheme}://@kvhandoff-{Environment.ProcessId}-{_name}-{receiver}",
    };

    private async Task RunAsync()
    {
        if (_spec.Kind == CaseKind.Group)
        {
            await RunGroupAsync();
            return;
        }

        _receivers.Add(await KvReceiver.ListenAsync(EndpointOf(0), Target, ReceiverOptions));
        if (_spec.Fault == LabFault.StaleFrames)
        {
            await StaleFramesAsync();
            return;
        }

        if (_spec.Fault == LabFault.LateWriter)
        {
            await LateWriterAsync();
            return;
        }

        using KvSequence? taken = _spec.Fault == LabFault.NoRoom ? Target.CreateSequence() : null;
        taken?.TryReserve(1);
        using KvSequence? sequence = _spec.Kind == CaseKind.InPlace ? null : RowOracle.Fill(Source, _spec.Tokens, _spec.Seed);
        _senders.Add(await KvSender.ConnectAsync(Receiver.Endpoint, Source, SenderOptions));
        await SettleAsync();
        await HandOverAsync(sequence);
    }

    private void Break(string what) => _result.Broken ??= what;

    private void Corrupt(string what)
    {
        _result.Corrupted = true;
        _result.Broken ??= what;
    }

    private void NotTerminal(string what)
    {
        _result.NotTerminal = true;
        _result.Broken ??= what;
    }

    private static async ValueTask<IncomingHandoff> FirstAsync(KvReceiver receiver)
    {
        await foreach (IncomingHandoff incoming in receiver.IncomingAsync()) return incoming;
        throw new InvalidOperationException("The receiver ended without a handoff.");
    }
}
