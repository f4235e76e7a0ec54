using System.Diagnostics;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>
/// One handoff between a real sender and a real receiver, with what the case asks for going wrong. The lab waits until nothing moves any more before it
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
    private readonly IDisposable? _registration;
    private readonly string _endpoint;
    private readonly SharedSlab? _shared;
    private readonly PagedKvCache _source, _target;
    private KvReceiver? _receiver;
    private KvSender? _sender;

    private LabCase(CaseSpec spec, LabOptions options)
    {
        _spec = spec;
        _options = options;
        _result = new CaseResult { Spec = spec };
        _plan = new FaultPlan((ulong)spec.Seed, FaultSides.Both);
        if (spec.Script is { } script) _plan.With(script);
        string prefix = $"lab{Interlocked.Increment(ref _names)}", scheme = options.Transport;
        // Over shared memory without faults the sender writes into the blocks by itself.
        if (spec.IsNetworkFault)
        {
            Transports.TryGet(scheme, out ITransport? inner);
            _registration = Transports.Register(new FaultTransport(inner!, _plan, prefix));
            scheme = $"{prefix}+{scheme}";
        }

        _endpoint = options.Transport switch
        {
            "tcp" => $"{scheme}://127.0.0.1:0",
            "loopback" => $"{scheme}://{prefix}",
            _ => $"{scheme}://@kvhandoff-{Environment.ProcessId}-{prefix}",
        };
        _source = PagedKvCache.Allocate(spec.Source, spec.Tokens);
        int room = spec.Fault switch { LabFault.TooLong => Math.Max(1, spec.Tokens - Math.Max(spec.Target.Groups[0].BlockTokens, 1)), _ => spec.Tokens };
        if (spec.Fault == LabFault.TooLong && room + spec.Target.Groups[0].BlockTokens > spec.Tokens) room = 0;
        int tokens = Math.Max(1, room);
        if (options.Transport == "shm") _shared = SharedSlab.Create("kvhandoff-lab", PagedKvCache.RequiredBytes(spec.Target, tokens));
        _target = _shared is null ? PagedKvCache.Allocate(spec.Target, tokens) : PagedKvCache.Over(spec.Target, _shared, tokens);
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
        if (_sender is not null) await _sender.DisposeAsync();
        if (_receiver is not null) await _receiver.DisposeAsync();
    }

    private KvReceiverOptions ReceiverOptions => new()
    {
        Name = "lab receiver",
        Lease = Lease,
        TimeProvider = _time,
        Without = _options.Without,
        HandshakeTimeout = TimeSpan.FromSeconds(2),
        Admission = _spec.Fault == LabFault.Refused ? _ => AdmissionVerdict.Refuse("the lab says no") : null,
    };

    private KvSenderOptions SenderOptions => new()
    {
        Name = "lab sender",
        Streams = _spec.Streams,
        Codec = _spec.Codec,
        TimeProvider = _time,
        ResumeWithin = _spec.Resume,
        HandshakeTimeout = TimeSpan.FromSeconds(2),
    };

    private async Task RunAsync()
    {
        _receiver = await KvReceiver.ListenAsync(_endpoint, _target, ReceiverOptions);
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

        using KvSequence? taken = _spec.Fault == LabFault.NoRoom ? _target.CreateSequence() : null;
        taken?.TryReserve(1);
        using KvSequence sequence = RowOracle.Fill(_source, _spec.Tokens, _spec.Seed);
        _sender = await KvSender.ConnectAsync(_receiver.Endpoint, _source, SenderOptions);
        await HandOverAsync(sequence);
    }

    private async Task HandOverAsync(KvSequence sequence)
    {
        var offer = new HandoffOffer { TotalTokens = _spec.Tokens, Deadline = Deadline, WaitForRoom = _spec.Fault == LabFault.NoRoom && _spec.LayersBefore > 0 ? TimeSpan.FromSeconds(1) : TimeSpan.Zero };
        Task<OutgoingHandoff> offering = _sender!.OfferAsync(sequence, offer);
        ValueTask<IncomingHandoff> next = FirstAsync(_receiver!);
        await DriveAsync(() => offering.IsCompleted);
        if (!offering.IsCompletedSuccessfully)
        {
            _result.Sender = await EndOfAsync(offering);
            IncomingHandoff? nobodys = next.IsCompletedSuccessfully ? next.Result : null;
            if (nobodys is not null)
            {
                await DriveAsync(() => nobodys.Status >= HandoffStatus.Committed);
                _result.Receiver = nobodys.Status;
            }

            return;
        }

        await using OutgoingHandoff outgoing = offering.Result;
        if (!await SettleAsync(() => next.IsCompleted, stalls: false)) throw new InvalidOperationException("A handoff was granted and not announced.");
        IncomingHandoff incoming = next.Result;
        Task<HandoffCost>? committing = await PublishAsync(outgoing, incoming);
        await DriveAsync(() => outgoing.Status >= HandoffStatus.Committed && incoming.Status >= HandoffStatus.Committed && committing is null or { IsCompleted: true });
        _result.Sender = outgoing.Status;
        _result.Receiver = incoming.Status;
        if (committing is not null) await EndOfAsync(committing);
        if (_spec.Fault == LabFault.ReceiverRestart && _spec.Resume > TimeSpan.Zero && outgoing.Status == HandoffStatus.Committed)
        {
            // The new life granted the offer afresh.
            ValueTask<IncomingHandoff> again = FirstAsync(_receiver!);
            if (!await SettleAsync(() => again.IsCompleted, stalls: false)) throw new InvalidOperationException("The sender is committed; the receiver's new life knows of no handoff.");
            incoming = again.Result;
            _result.Receiver = incoming.Status;
        }

        await CompareAsync(sequence, incoming);
    }

    private async Task<Task<HandoffCost>?> PublishAsync(OutgoingHandoff outgoing, IncomingHandoff incoming)
    {
        bool stalled = false;
        for (int layer = 0; layer < _spec.Source.LayerCount; layer++)
        {
            if (layer == _spec.LayersBefore && await InterruptAsync(outgoing, incoming)) return null;
            outgoing.Publish(layer, _spec.Tokens);
            Task landed = incoming.LayerAsync(layer);
            // What stands still once does so for the layers behind it.
            int rounds = stalled ? TickRounds : _spec.MayStall || _spec.IsNetworkFault ? StallRounds : PatientRounds;
            stalled |= !await SettleAsync(() => landed.IsCompleted || outgoing.Status >= HandoffStatus.Committed, rounds);
            _ = landed.Exception;
        }

        if (_spec.LayersBefore == _spec.Source.LayerCount && await InterruptAsync(outgoing, incoming)) return null;
        if (_spec.Fault == LabFault.NeverCommits) return null;
        return outgoing.CommitAsync(RowOracle.Manifest(_spec.Tokens, _spec.Seed));
    }

    /// <summary>What a host does that it should not; true when the sender does nothing more after it.</summary>
    private async Task<bool> InterruptAsync(OutgoingHandoff outgoing, IncomingHandoff incoming)
    {
        switch (_spec.Fault)
        {
            case LabFault.CancelSender:
                await outgoing.DisposeAsync().AsTask().WaitAsync(Patience);
                return true;
            case LabFault.CancelReceiver:
                await incoming.DisposeAsync().AsTask().WaitAsync(Patience);
                return false;
            case LabFault.DisposeSender:
                await _sender!.DisposeAsync().AsTask().WaitAsync(Patience);
                return true;
            case LabFault.ReceiverRestart:
                string endpoint = _receiver!.Endpoint;
                await _receiver.DisposeAsync().AsTask().WaitAsync(Patience);
                if (_target.UsedBlocks != 0) Break($"a disposed receiver left {_target.UsedBlocks} blocks");
                _receiver = await KvReceiver.ListenAsync(endpoint, _target, ReceiverOptions);
                return false;
            default:
                return false;
        }
    }

    private async Task CompareAsync(KvSequence sequence, IncomingHandoff incoming)
    {
        if (_result.Sender == HandoffStatus.Committed && _result.Receiver != HandoffStatus.Committed) Break($"the sender is Committed, the receiver {_result.Receiver}");
        if (_result.Receiver != HandoffStatus.Committed) return;
        using KvSequence landed = await incoming.CommittedAsync().WaitAsync(Patience);
        if (RowOracle.Difference(_spec.Plan, _spec.Codec, sequence, landed) is { } difference) Corrupt(difference);
        if (!incoming.Manifest.Equals(RowOracle.Manifest(_spec.Tokens, _spec.Seed))) Corrupt("the manifest differs");
    }

    /// <summary>How what has completed ended, as the status that the handoff had.</summary>
    private async Task<HandoffStatus> EndOfAsync(Task task)
    {
        try
        {
            await task.WaitAsync(TimeSpan.FromSeconds(5));
            return HandoffStatus.Committed;
        }
        catch (HandoffException e)
        {
            if (e.Failure == HandoffFailure.Corrupt && _result.Sender == HandoffStatus.Committed) Corrupt(e.Message);
            return e.Failure switch { HandoffFailure.Rejected => HandoffStatus.Rejected, HandoffFailure.Expired => HandoffStatus.Expired, _ => HandoffStatus.Aborted };
        }
        catch (TimeoutException)
        {
            NotTerminal("a call did not complete");
            return HandoffStatus.Aborted;
        }
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
