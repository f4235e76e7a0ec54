using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Simulation;

/// <summary>Prefill nodes: first come first served, in iterations of so many tokens; a long prompt takes several, what an iteration has left goes to the next prompts.</summary>
internal sealed partial class Simulator
{
    private readonly PrefillNode[] _prefill;
    private readonly LeastTree _prefillWork;
    private readonly PrefixCache _prefixes;
    private readonly double _prefillMemory, _weightSeconds;
    private readonly Queue<SimulatedRequest> _homeless = new();
    private double _cachedTokens, _promptTokens;

    private bool SendsUnits => _deployment.UnitCount > 1 && !_settings.IsPrefillInstant;

    // To the node with the least work in front of it.
    private void Assign(SimulatedRequest request)
    {
        request.State = RequestState.Waiting;
        int node = _prefillWork.Least;
        if (double.IsPositiveInfinity(_prefillWork[node]))
        {
            _homeless.Enqueue(request);
            return;
        }

        request.PrefillNode = node;
        PrefillNode at = _prefill[node];
        request.PrefillPlace = at.Requests.Count;
        at.Requests.Add(request);
        if (_settings.IsPrefillInstant)
        {
            // In turns, so that senders differ.
            _prefillWork[node] += 1;
            Begin(request);
            request.ChunkEnd = request.Total;
            request.Computed = request.Prompt;
            Prefilled(request);
            return;
        }

        request.Work = PrefillTime.Flops(_deployment.Model, request.Prompt);
        _prefillWork[node] += request.Work;
        at.Queue.Enqueue(request);
        if (!at.IsBusy) StartIteration(node);
    }

    private void StartIteration(int node)
    {
        PrefillNode at = _prefill[node];
        at.Iteration.Clear();
        int budget = _settings.ChunkTokens, tokens = 0;
        double flops = 0, stall = 0;
        while (budget > 0 && at.Iteration.Count < _settings.MaxPromptsPerIteration)
        {
            SimulatedRequest? request = at.Partial;
            if (request is null)
            {
                if (!at.Queue.TryPeek(out request)) break;
                double kept = _deployment.KvBytes(request.Prompt);
                // Caches that nobody has taken yet are in the way: wait for a commit.
                if (at.KeptBytes > 0 && at.KeptBytes + kept > _prefillMemory) break;
                at.Queue.Dequeue();
                at.KeptBytes += kept;
                request.Kept = kept;
                Begin(request);
            }

            int take = Math.Min(budget, request.Prompt - request.Computed);
            flops += PrefillTime.Flops(_deployment.Model, request.Computed, request.Computed + take);
            at.Iteration.Add((request, take));
            budget -= take;
            tokens += take;
            if (SendsUnits) stall += Units(request, take) * _deployment.StallSeconds;
            at.Partial = request.Computed + take < request.Prompt ? request : null;
        }

        at.IsBusy = at.Iteration.Count > 0;
        if (!at.IsBusy) return;
        double seconds = _deployment.Prefill.PrefillFloorSeconds + Math.Max(flops / _deployment.Prefill.EffectiveFlops(_deployment.PrefillPrecision, tokens), _weightSeconds) + stall;
        at.BusySeconds += seconds;
        at.BusyUntil = _now + seconds;
        _timers.Set(node, _now + seconds);
        foreach ((SimulatedRequest request, int take) in at.Iteration)
        {
            BeginChunk(request, take, seconds);
            if (SendsUnits && !request.IsOffered) Offer(request);
        }
    }

    private void OnIteration(int node)
    {
        PrefillNode at = _prefill[node];
        foreach ((SimulatedRequest request, int take) in at.Iteration)
        {
            request.Computed += take;
            if (request.Computed == request.Prompt) Prefilled(request);
            else EndChunk(request);
        }

        StartIteration(node);
    }

    private void Begin(SimulatedRequest request)
    {
        request.State = RequestState.Prefilling;
        request.HasBegun = true;
        if (double.IsNaN(request.PrefillStart)) request.PrefillStart = _now;
        int cached = _settings.PrefixCacheTokens > 0 ? _prefixes.Find(request.Blocks) * Workload.BlockTokens : 0;
        // The last token is always computed: its logits are the first token of the answer.
        request.Cached = Math.Min(request.Prompt - 1, Math.Max(cached, (int)(request.Prompt * _deployment.CachedShare)));
        request.Computed = request.Cached;
        _cachedTokens += request.Cached;
        _promptTokens += request.Prompt;
        double held = _settings.DecodeHoldsPrefix || _deployment.CachedShare > 0 ? Wire(request.Cached) : 0;
        request.Total = Wire(request.Prompt) - held;
        request.Produced = request.ChunkEnd = Wire(request.Cached) - held;
        if (!SendsUnits) request.Produced = 0;
        request.Sent = 0;
        request.UpdatedAt = _now;
    }

    private void Prefilled(SimulatedRequest request)
    {
        request.PrefillEnd = _now;
        request.State = RequestState.HandingOff;
        if (!_settings.IsPrefillInstant) SetWork(request.PrefillNode, -request.Work);
        request.Work = 0;
        if (_settings.PrefixCacheTokens > 0) _prefixes.Add(request.Blocks);
        request.IsSealed = true;
        request.ChunkEnd = request.Total;
        EndChunk(request);
        if (!request.IsOffered) Offer(request);
    }

    private void SetWork(int node, double more)
    {
        PrefillNode at = _prefill[node];
        if (!at.IsDown) _prefillWork[node] = at.Queue.Count == 0 && at.Partial is null && at.Iteration.Count <= 1 && more < 0 ? 0 : Math.Max(0, _prefillWork[node] + more);
    }

    // The decode side has it: what was kept may go, and the node may have waited for that.
    private void LeavePrefill(SimulatedRequest request)
    {
        int node = request.PrefillNode;
        if (node == SimulatedRequest.Nowhere) return;
        PrefillNode at = _prefill[node];
        SimulatedRequest last = at.Requests[^1];
        at.Requests[request.PrefillPlace] = last;
        last.PrefillPlace = request.PrefillPlace;
        at.Requests.RemoveAt(at.Requests.Count - 1);
        at.KeptBytes = at.Requests.Count == 0 ? 0 : at.KeptBytes - request.Kept;
        (request.Kept, request.PrefillNode) = (0, SimulatedRequest.Nowhere);
        if (!at.IsBusy && !at.IsDown && at.Queue.Count > 0) StartIteration(node);
    }

    private double Wire(double tokens) => _deployment.KvBytes(tokens) / _deployment.Codec.Ratio;

    // One per layer and chunk, or the given number over the whole prompt.
    private int Units(SimulatedRequest request, int take) =>
        _deployment.Units is { } units ? Math.Max(1, (int)Math.Round((double)units * take / (request.Prompt - request.Cached))) : _deployment.UnitCount;

    private sealed class PrefillNode
    {
        internal readonly Queue<SimulatedRequest> Queue = new();
        internal readonly List<SimulatedRequest> Requests = [];
        internal readonly List<(SimulatedRequest Request, int Tokens)> Iteration = [];
        internal SimulatedRequest? Partial;
        internal bool IsBusy, IsDown;
        internal double KeptBytes, BusySeconds, BusyUntil;
    }
}
