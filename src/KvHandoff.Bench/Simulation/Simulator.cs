using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Simulation;

/// <summary>
/// A cluster as events: requests arrive, are prefilled in chunks, offered, granted by a decode node with room, sent over shared links as they are produced, and decoded
/// in batches. Between events everything moves at constant rates, so that nothing is stepped: a transfer is a flow, decoding a count of tokens that all of a batch
/// share. One thread; the same settings and requests give the same run.
/// </summary>
internal sealed partial class Simulator
{
    private readonly SimulationSettings _settings;
    private readonly Deployment _deployment;
    private readonly SimulatedRequest[] _requests;
    private readonly SimulationRandom _random;
    private readonly TimerHeap _timers = new();
    private readonly int _prefillNodes, _decodeNodes, _arrivals, _failures, _repairs, _flows;
    private double _now, _inSystemSeconds;
    private int _next, _inSystem, _completed, _failed, _rejected;
    private long _events;

    private Simulator(SimulationSettings settings, IReadOnlyList<WorkloadRequest> workload)
    {
        _settings = settings;
        _deployment = settings.Deployment;
        _random = new SimulationRandom(settings.Seed ^ 0x5EED_FA11);
        (_prefillNodes, _decodeNodes) = (settings.PrefillNodes, settings.DecodeNodes);
        _requests = [.. workload.Select((r, i) => new SimulatedRequest(i, r))];
        // Timers: one per node, then arrivals, failures, one per node for its repair, one per flow.
        _arrivals = _prefillNodes + _decodeNodes;
        _failures = _arrivals + 1;
        _repairs = _failures + 1;
        _flows = _repairs + _prefillNodes + _decodeNodes;
        _prefill = [.. Enumerable.Range(0, _prefillNodes).Select(_ => new PrefillNode())];
        _prefillWork = new LeastTree(_prefillNodes, 0);
        _prefixes = new PrefixCache(settings.PrefixCacheTokens >= long.MaxValue / 2 ? long.MaxValue : settings.PrefixCacheTokens / Workload.BlockTokens);
        _prefillMemory = settings.IsPrefillInstant ? double.PositiveInfinity : Math.Max(0, settings.Deployment.Prefill.MemoryBytes - PrefillTime.WeightBytes(_deployment.Model.Parameters, _deployment.PrefillPrecision));
        _weightSeconds = PrefillTime.WeightBytes(_deployment.Model.LinearParameters, _deployment.PrefillPrecision) / _deployment.Prefill.MemoryBytesPerSecond;
        _decodeTime = DecodeTime.Of(_deployment.Model, _deployment.Decode, _deployment.WeightPrecision);
        _decodeMemory = settings.IsDecodeInstant ? double.PositiveInfinity : DecodeCapacity.Of(_deployment.Model, _deployment.Decode, _deployment.WeightPrecision).FreeBytes;
        _decode = [.. Enumerable.Range(0, _decodeNodes).Select(_ => new DecodeNode { Free = _decodeMemory })];
        _decodeRoom = new LeastTree(_decodeNodes, settings.IsDecodeInstant ? 0 : -_decodeMemory);
        (_network, _ways) = Network();
        _path = _deployment.Path(_deployment.Link);
        if (settings.IsPrefillInstant)
        {
            // Whoever asks for the link alone does not mean the network sides of nodes that take no time.
            CodecCost codec = CodecCost.Of(_deployment.Codec, _deployment.CodecCores);
            _path = _path with { BytesPerSecond = Math.Min(_deployment.Link.BytesPerSecond, Math.Min(codec.EncodeBytesPerSecond, codec.DecodeBytesPerSecond) / codec.Ratio) };
        }
    }

    /// <summary>Runs until every request has come to its end, or until the time to stop.</summary>
    internal static SimulationResult Run(SimulationSettings settings, IReadOnlyList<WorkloadRequest> workload, CancellationToken cancellationToken = default)
    {
        var simulator = new Simulator(settings, workload);
        simulator.Go(cancellationToken);
        return simulator.Result();
    }

    private void Go(CancellationToken cancellationToken)
    {
        const int CancellationCheck = 1 << 14;
        if (_requests.Length > 0) _timers.Set(_arrivals, _requests[0].Arrival);
        if (double.IsFinite(_settings.FailureSeconds)) _timers.Set(_failures, NextFailure());
        while (_completed + _failed + _rejected < _requests.Length && _timers.TryPop(out int timer, out double time))
        {
            if ((++_events & (CancellationCheck - 1)) == 0) cancellationToken.ThrowIfCancellationRequested();
            if (time > _settings.StopSeconds)
            {
                Pass(_settings.StopSeconds);
                break;
            }

            Pass(time);
            if (timer >= _flows) OnFlow(_owners[timer - _flows]!);
            else if (timer < _prefillNodes) OnIteration(timer);
            else if (timer < _arrivals) OnDecode(timer - _prefillNodes);
            else if (timer == _arrivals) OnArrival();
            else if (timer == _failures) OnFailure();
            else OnRepair(timer - _repairs);
        }

        foreach (DecodeNode node in _decode) Advance(node);
    }

    private void Pass(double time)
    {
        _inSystemSeconds += _inSystem * (time - _now);
        _reservedSeconds += _reserved * (time - _now);
        _now = time;
    }

    private void OnArrival()
    {
        while (_next < _requests.Length && _requests[_next].Arrival <= _now)
        {
            SimulatedRequest request = _requests[_next++];
            if (_deployment.KvBytes(request.Prompt + request.Output) > _decodeMemory)
            {
                request.State = RequestState.Rejected;
                _rejected++;
                continue;
            }

            _inSystem++;
            Assign(request);
        }

        if (_next < _requests.Length) _timers.Set(_arrivals, _requests[_next].Arrival);
    }

    private void End(SimulatedRequest request, RequestState state)
    {
        request.State = state;
        request.Finished = _now;
        _inSystem--;
        if (state == RequestState.Completed) _completed++;
        else _failed++;
    }

    // A timer that rounding would set into the past or the present moves on by the least there is.
    private double Soon(double seconds) => Math.Max(_now + seconds, Math.BitIncrement(_now));

    private SimulationResult Result() => new()
    {
        Settings = _settings,
        Requests = _requests,
        Seconds = _now,
        Completed = _completed,
        Failed = _failed,
        Rejected = _rejected,
        InFlight = _inSystem,
        NotArrived = _requests.Length - _next,
        Events = _events,
        InSystemSeconds = _inSystemSeconds,
        PrefillBusySeconds = _prefill.Sum(p => p.BusySeconds),
        DecodeBusySeconds = _decode.Sum(d => d.BusySeconds),
        DecodeWorkSeconds = _decode.Sum(d => d.WorkSeconds),
        DecodedTokens = _decode.Sum(d => d.Tokens),
        ReservedByteSeconds = _reservedSeconds,
        MemoryBytes = _decodeMemory,
        LinkBytesPerSecond = Math.Min(_deployment.Link.BytesPerSecond, _settings.IsDecodeInstant ? double.PositiveInfinity : _deployment.Decode.NetworkBitsPerSecond / 8),
        EncodeBytesPerSecond = CodecCost.Of(_deployment.Codec, _deployment.CodecCores).EncodeBytesPerSecond / _deployment.Codec.Ratio,
        DecodeBytesPerSecond = CodecCost.Of(_deployment.Codec, _deployment.CodecCores).DecodeBytesPerSecond / _deployment.Codec.Ratio,
        CommittedBytes = _committedBytes,
        AbortedBytes = _abortedBytes,
        SentBytes = _committedBytes + _abortedBytes + _requests.Where(r => r.Flow != SimulatedRequest.Nowhere).Sum(r => r.Sent + r.Rate * (_now - r.UpdatedAt)),
        Restarts = _restarts,
        Failures = _nodeFailures,
        CachedTokens = _cachedTokens,
        PromptTokens = _promptTokens,
    };
}
