using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Simulation;

/// <summary>
/// Handoffs: offered when prefill begins (or has ended, where nothing is sent in units), granted first come first served by the decode node with the most room, then a flow
/// that follows production: as fast as the path while it is behind, as fast as units get ready when it has caught up.
/// </summary>
internal sealed partial class Simulator
{
    // Share of a handoff that rounding may leave over.
    private const double Rounding = 1e-9;

    private readonly FairNetwork _network;
    private readonly int[] _ways;
    private readonly TransferTime _path;
    private readonly Queue<SimulatedRequest> _waiting = new();
    private readonly List<SimulatedRequest> _fellBehind = [];
    private SimulatedRequest?[] _owners = new SimulatedRequest?[64];
    private double _reserved, _reservedSeconds, _committedBytes, _abortedBytes;

    // Resources: network sides of prefill nodes, of decode nodes, codec cores of both, the fabric. Those without a limit are left out.
    private (FairNetwork Network, int[] Ways) Network()
    {
        CodecCost codec = CodecCost.Of(_deployment.Codec, _deployment.CodecCores);
        double sends = _settings.IsPrefillInstant ? double.PositiveInfinity : _deployment.Prefill.NetworkBitsPerSecond / 8;
        double receives = Math.Min(TransferTime.Of(_deployment.Link).Bandwidth(_deployment.MessageBytes), _settings.IsDecodeInstant ? double.PositiveInfinity : _deployment.Decode.NetworkBitsPerSecond / 8);
        var capacities = new List<double>();
        int Kind(double capacity, int count)
        {
            if (double.IsPositiveInfinity(capacity)) return SimulatedRequest.Nowhere;
            capacities.AddRange(Enumerable.Repeat(capacity, count));
            return capacities.Count - count;
        }

        int[] ways = [Kind(sends, _prefillNodes), Kind(receives, _decodeNodes), Kind(codec.EncodeBytesPerSecond / codec.Ratio, _prefillNodes), Kind(codec.DecodeBytesPerSecond / codec.Ratio, _decodeNodes), Kind(_settings.FabricBytesPerSecond, 1)];
        return (new FairNetwork(capacities), ways);
    }

    private void Offer(SimulatedRequest request)
    {
        request.IsOffered = true;
        request.Offered = _now;
        request.Reserved = _deployment.KvBytes(request.Prompt + request.Output);
        if (_waiting.Count == 0 && TryGrant(request)) return;
        request.IsInLine = true;
        _waiting.Enqueue(request);
    }

    private void GrantWaiting()
    {
        while (_waiting.TryPeek(out SimulatedRequest? request) && (!request.IsInLine || TryGrant(request)))
        {
            request.IsInLine = false;
            _waiting.Dequeue();
        }
    }

    private bool TryGrant(SimulatedRequest request)
    {
        int node = _decodeRoom.Least;
        DecodeNode at = _decode[node];
        if (double.IsPositiveInfinity(_decodeRoom[node]) || at.Free < request.Reserved) return false;
        request.DecodeNode = node;
        request.Granted = _now;
        request.DecodePlace = at.Requests.Count;
        at.Requests.Add(request);
        at.Landing++;
        if (!_settings.IsDecodeInstant)
        {
            at.Free -= request.Reserved;
            _reserved += request.Reserved;
        }

        Rank(node);
        if (_settings.Sharing == LinkSharing.Fair) StartFlow(request);
        else if (at.IsLinkBusy)
        {
            request.IsInLinkLine = true;
            at.Line.Enqueue(request);
        }
        else
        {
            StartFlow(request);
        }

        return true;
    }

    private void StartFlow(SimulatedRequest request)
    {
        Touch(request);
        _decode[request.DecodeNode].IsLinkBusy = true;
        request.LinkStart = _now;
        if (request.PathCap == 0) request.PathCap = PathCap(request.Total);
        request.IsBehind = request.Produced > request.Sent + Rounding * request.Total;
        Span<int> way = stackalloc int[5];
        int hops = 0;
        for (int kind = 0; kind < _ways.Length; kind++)
        {
            if (_ways[kind] == SimulatedRequest.Nowhere) continue;
            way[hops++] = _ways[kind] + (kind == 4 ? 0 : kind % 2 == 0 ? request.PrefillNode : request.DecodeNode);
        }

        request.Flow = _network.Add(way[..hops], Cap(request));
        if (request.Flow >= _owners.Length) Array.Resize(ref _owners, 2 * request.Flow);
        _owners[request.Flow] = request;
        ApplyRates();
        SetTimer(request);
    }

    // One unit's fixed cost, as the rate that a sender of one unit at a time reaches.
    private double PathCap(double unitBytes) => unitBytes / _path.UnitSeconds(unitBytes, _deployment.MessageBytes);

    private void BeginChunk(SimulatedRequest request, int take, double seconds)
    {
        Touch(request);
        double bytes = Wire(request.Computed + take) - Wire(request.Computed);
        request.ChunkEnd += bytes;
        if (!SendsUnits)
        {
            request.PathCap = PathCap(request.Total);
            return;
        }

        int units = Units(request, take);
        request.PathCap = PathCap(bytes / units);
        // The last unit is ready when the chunk ends; before that units get ready one behind.
        request.ProductionRate = bytes / seconds;
        request.ProductionFrom = units > 1 ? _now + seconds / units : double.PositiveInfinity;
        if (request.Flow != SimulatedRequest.Nowhere) Refresh(request);
    }

    private void EndChunk(SimulatedRequest request)
    {
        Touch(request);
        if (SendsUnits || request.IsSealed) request.Produced = request.ChunkEnd;
        (request.ProductionRate, request.ProductionFrom) = (0, double.PositiveInfinity);
        request.IsBehind = request.Produced > request.Sent + Rounding * request.Total;
        if (request.PathCap == 0) request.PathCap = PathCap(request.Total);
        if (request.Flow != SimulatedRequest.Nowhere) Refresh(request);
    }

    private void OnFlow(SimulatedRequest request)
    {
        Touch(request);
        double left = Rounding * request.Total;
        if (request.IsSealed && request.Total - request.Sent <= left)
        {
            Commit(request);
            return;
        }

        if (request.IsBehind && !request.IsSealed && request.Produced - request.Sent <= left) (request.IsBehind, request.Sent) = (false, request.Produced);
        Refresh(request);
    }

    private void Commit(SimulatedRequest request)
    {
        _committedBytes += request.Total;
        StopFlow(request);
        request.Committed = _now;
        if (double.IsNaN(request.FirstToken)) request.FirstToken = _now;
        DecodeNode at = _decode[request.DecodeNode];
        at.Landing--;
        LeavePrefill(request);
        Join(request);
    }

    private void StopFlow(SimulatedRequest request)
    {
        int flow = request.Flow;
        _timers.Cancel(_flows + flow);
        _network.Remove(flow);
        _owners[flow] = null;
        (request.Flow, request.Rate) = (SimulatedRequest.Nowhere, 0);
        ApplyRates();
        if (_settings.Sharing == LinkSharing.Fifo) NextInLine(request.DecodeNode);
    }

    private void NextInLine(int node)
    {
        DecodeNode at = _decode[node];
        at.IsLinkBusy = false;
        // Whoever left in the meantime is somewhere else, or nowhere.
        while (at.Line.TryDequeue(out SimulatedRequest? next))
        {
            if (next.DecodeNode != node || !next.IsInLinkLine) continue;
            next.IsInLinkLine = false;
            StartFlow(next);
            return;
        }
    }

    // Brings what was produced and sent up to now.
    private void Touch(SimulatedRequest request)
    {
        if (_now > request.ProductionFrom) request.Produced += request.ProductionRate * (_now - Math.Max(request.UpdatedAt, request.ProductionFrom));
        request.Sent += request.Rate * (_now - request.UpdatedAt);
        if (request.Sent > request.Produced) request.Sent = request.Produced;
        request.UpdatedAt = _now;
    }

    private double Production(SimulatedRequest request) => _now >= request.ProductionFrom ? request.ProductionRate : 0;

    private double Cap(SimulatedRequest request) => request.IsBehind ? request.PathCap : Math.Min(request.PathCap, Production(request));

    private void Refresh(SimulatedRequest request)
    {
        _network.SetCap(request.Flow, Cap(request));
        ApplyRates();
        SetTimer(request);
    }

    private void ApplyRates()
    {
        while (true)
        {
            foreach (int flow in _network.Changed)
            {
                SimulatedRequest request = _owners[flow]!;
                Touch(request);
                request.Rate = _network.Rate(flow);
                if (!request.IsBehind && request.Rate < Production(request) * (1 - Rounding)) _fellBehind.Add(request);
                else SetTimer(request);
            }

            _network.Changed.Clear();
            if (_fellBehind.Count == 0) return;
            SimulatedRequest late = _fellBehind[^1];
            _fellBehind.RemoveAt(_fellBehind.Count - 1);
            late.IsBehind = true;
            _network.SetCap(late.Flow, late.PathCap);
            late.Rate = _network.Rate(late.Flow);
            SetTimer(late);
        }
    }

    private void SetTimer(SimulatedRequest request)
    {
        double at = request.ProductionFrom > _now ? request.ProductionFrom : double.PositiveInfinity, production = Production(request);
        if (request.Rate > 0)
        {
            if (request.IsSealed) at = Math.Min(at, Soon((request.Total - request.Sent) / request.Rate));
            else if (request.IsBehind && request.Rate > production) at = Math.Min(at, Soon((request.Produced - request.Sent) / (request.Rate - production)));
        }

        _timers.Set(_flows + request.Flow, at);
    }
}
