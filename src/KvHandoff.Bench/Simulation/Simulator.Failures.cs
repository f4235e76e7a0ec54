namespace KvHandoff.Bench.Simulation;

/// <summary>
/// Nodes that fail: a prefill node loses what it computes and what it has not handed over; a decode node loses its caches, so running requests are prefilled again
/// with the tokens they had, while handoffs that were landing are only offered again.
/// </summary>
internal sealed partial class Simulator
{
    private int _restarts, _nodeFailures;

    private double NextFailure() => _now + _random.Exponential(_settings.FailureSeconds / (_prefillNodes + _decodeNodes));

    private void OnFailure()
    {
        int node = _random.Next(_prefillNodes + _decodeNodes);
        _timers.Set(_failures, NextFailure());
        if (node < _prefillNodes) FailPrefill(node);
        else FailDecode(node - _prefillNodes);
    }

    private void OnRepair(int node)
    {
        if (node < _prefillNodes)
        {
            _prefill[node].IsDown = false;
            _prefillWork[node] = 0;
            while (_homeless.TryDequeue(out SimulatedRequest? request)) Assign(request);
            return;
        }

        _decode[node - _prefillNodes].IsDown = false;
        Rank(node - _prefillNodes);
        GrantWaiting();
    }

    private void FailPrefill(int node)
    {
        PrefillNode at = _prefill[node];
        if (at.IsDown) return;
        _nodeFailures++;
        at.IsDown = true;
        _prefillWork[node] = double.PositiveInfinity;
        if (at.IsBusy) at.BusySeconds -= at.BusyUntil - _now;
        at.IsBusy = false;
        at.Partial = null;
        at.Queue.Clear();
        at.Iteration.Clear();
        _timers.Cancel(node);
        _timers.Set(_repairs + node, _now + _settings.RepairSeconds);
        SimulatedRequest[] lost = [.. at.Requests];
        foreach (SimulatedRequest request in lost)
        {
            Withdraw(request);
            LeavePrefill(request);
        }

        foreach (SimulatedRequest request in lost) Restart(request);
        GrantWaiting();
    }

    private void FailDecode(int node)
    {
        DecodeNode at = _decode[node];
        if (at.IsDown) return;
        _nodeFailures++;
        Advance(at);
        at.IsDown = true;
        _timers.Cancel(_prefillNodes + node);
        _timers.Set(_repairs + _prefillNodes + node, _now + _settings.RepairSeconds);
        at.Line.Clear();
        at.Ends.Clear();
        SimulatedRequest[] lost = [.. at.Requests];
        (at.Batch, at.CacheBytes, at.Growth) = (0, 0, 0);
        var again = new List<SimulatedRequest>();
        foreach (SimulatedRequest request in lost)
        {
            if (request.State == RequestState.Decoding)
            {
                int had = Math.Clamp((int)(at.Count - request.JoinedAt), 0, request.Output - 1);
                request.Prompt += had;
                request.Output -= had;
                LeaveDecode(request);
                again.Add(request);
                continue;
            }

            Withdraw(request);
            Touch(request);
            request.Sent = 0;
            Offer(request);
        }

        at.Count = 0;
        at.IsLinkBusy = false;
        Rank(node);
        foreach (SimulatedRequest request in again) Restart(request);
        GrantWaiting();
    }

    // Takes an offer back, wherever it stands.
    private void Withdraw(SimulatedRequest request)
    {
        if (request.Flow != SimulatedRequest.Nowhere)
        {
            Touch(request);
            _abortedBytes += request.Sent;
            StopFlow(request);
        }

        (request.IsInLine, request.IsInLinkLine, request.IsOffered) = (false, false, false);
        if (request.DecodeNode == SimulatedRequest.Nowhere) return;
        _decode[request.DecodeNode].Landing--;
        LeaveDecode(request);
    }

    private void Restart(SimulatedRequest request)
    {
        _restarts++;
        (request.HasBegun, request.IsOffered, request.IsInLine, request.IsSealed, request.IsBehind) = (false, false, false, false, false);
        (request.Computed, request.Cached, request.Produced, request.Sent, request.Total, request.ChunkEnd, request.PathCap) = (0, 0, 0, 0, 0, 0, 0);
        (request.ProductionRate, request.ProductionFrom, request.Rate) = (0, double.PositiveInfinity, 0);
        if (++request.Restarts > _settings.MostRestarts) End(request, RequestState.Failed);
        else Assign(request);
    }
}
