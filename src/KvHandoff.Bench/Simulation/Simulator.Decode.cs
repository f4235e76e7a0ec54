using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Simulation;

/// <summary>
/// Decode nodes: everyone in the batch gets a token per step, so a node counts tokens once for all and a request ends where its own lie behind it. While nobody joins or leaves
/// the caches grow evenly and a step's time with them: tokens and seconds turn into each other in closed form.
/// </summary>
internal sealed partial class Simulator
{
    private const double TokenRounding = 1e-6;

    private readonly DecodeNode[] _decode;
    private readonly LeastTree _decodeRoom;
    private readonly DecodeTime _decodeTime;
    private readonly double _decodeMemory;

    private void Join(SimulatedRequest request)
    {
        int node = request.DecodeNode;
        DecodeNode at = _decode[node];
        if (_settings.IsDecodeInstant)
        {
            LeaveDecode(request);
            End(request, RequestState.Completed);
            GrantWaiting();
            return;
        }

        Advance(at);
        request.State = RequestState.Decoding;
        request.PromptBytes = _deployment.KvBytes(request.Prompt);
        request.BytesPerToken = (request.Reserved - request.PromptBytes) / request.Output;
        request.JoinedAt = at.Count;
        request.FinishAt = at.Count + request.Output;
        at.Batch++;
        at.CacheBytes += request.PromptBytes;
        at.Growth += request.BytesPerToken;
        at.Ends.Enqueue(request, (request.FinishAt, request.Id));
        Rank(node);
        SetDecodeTimer(node);
        // A landed handoff gave its credit back.
        GrantWaiting();
    }

    private void OnDecode(int node)
    {
        DecodeNode at = _decode[node];
        Advance(at);
        while (at.Ends.TryPeek(out SimulatedRequest? request, out _) && request.FinishAt <= at.Count + TokenRounding)
        {
            at.Ends.Dequeue();
            at.Batch--;
            at.CacheBytes -= request.PromptBytes + request.BytesPerToken * request.Output;
            at.Growth -= request.BytesPerToken;
            LeaveDecode(request);
            End(request, RequestState.Completed);
        }

        if (at.Batch == 0) (at.CacheBytes, at.Growth, at.Count) = (0, 0, 0);
        SetDecodeTimer(node);
        GrantWaiting();
    }

    private void SetDecodeTimer(int node)
    {
        DecodeNode at = _decode[node];
        if (at.Ends.TryPeek(out SimulatedRequest? first, out _)) _timers.Set(_prefillNodes + node, Soon(SecondsFor(at, Math.Max(0, first.FinishAt - at.Count))));
        else _timers.Cancel(_prefillNodes + node);
    }

    private void Advance(DecodeNode at)
    {
        double seconds = _now - at.UpdatedAt;
        at.UpdatedAt = _now;
        if (at.Batch == 0 || seconds <= 0) return;
        double tokens = TokensIn(at, seconds);
        (double level, double first, _) = Step(at);
        at.Count += tokens;
        at.CacheBytes += at.Growth * tokens;
        at.Tokens += tokens * at.Batch;
        at.BusySeconds += seconds;
        // What part of a step is work, and not the floor that a step of one would take as well.
        at.WorkSeconds += seconds * Math.Min(1, Math.Max(first, at.Batch * _decodeTime.ComputeSeconds) / Math.Max(level, first));
    }

    // A step takes the larger of a level part and one that grows with every token.
    private (double Level, double First, double Slope) Step(DecodeNode at) =>
        (Math.Max(_decodeTime.FloorSeconds, at.Batch * _decodeTime.ComputeSeconds), _decodeTime.WeightReadSeconds(at.Batch) + at.CacheBytes / _decodeTime.BytesPerSecond, at.Growth / _decodeTime.BytesPerSecond);

    private double SecondsFor(DecodeNode at, double tokens)
    {
        (double level, double first, double slope) = Step(at);
        if (first >= level) return tokens * (first + slope * tokens / 2);
        double until = slope > 0 ? (level - first) / slope : double.PositiveInfinity;
        if (tokens <= until) return tokens * level;
        double rest = tokens - until;
        return until * level + rest * (level + slope * rest / 2);
    }

    private double TokensIn(DecodeNode at, double seconds)
    {
        (double level, double first, double slope) = Step(at);
        if (first >= level) return Growing(first, slope, seconds);
        double until = slope > 0 ? (level - first) / slope : double.PositiveInfinity;
        if (seconds <= until * level) return seconds / level;
        return until + Growing(level, slope, seconds - until * level);
    }

    // The tokens n of n (step + slope n / 2) seconds, written so that a small slope loses no digits.
    private static double Growing(double step, double slope, double seconds) => 2 * seconds / (step + Math.Sqrt(step * step + 2 * slope * seconds));

    private void LeaveDecode(SimulatedRequest request)
    {
        int node = request.DecodeNode;
        DecodeNode at = _decode[node];
        SimulatedRequest last = at.Requests[^1];
        at.Requests[request.DecodePlace] = last;
        last.DecodePlace = request.DecodePlace;
        at.Requests.RemoveAt(at.Requests.Count - 1);
        if (!_settings.IsDecodeInstant)
        {
            at.Free = at.Requests.Count == 0 ? _decodeMemory : at.Free + request.Reserved;
            _reserved -= request.Reserved;
        }

        request.DecodeNode = SimulatedRequest.Nowhere;
        Rank(node);
    }

    // Offers go to the node with the most room; one without credits or without a place in its batch has none.
    private void Rank(int node)
    {
        DecodeNode at = _decode[node];
        bool isOpen = !at.IsDown && at.Landing < _settings.Credits && at.Requests.Count < _settings.MaxBatch;
        _decodeRoom[node] = !isOpen ? double.PositiveInfinity : _settings.IsDecodeInstant ? at.Requests.Count : -at.Free;
    }

    private sealed class DecodeNode
    {
        internal readonly List<SimulatedRequest> Requests = [];
        internal readonly Queue<SimulatedRequest> Line = new();
        internal readonly PriorityQueue<SimulatedRequest, (double At, int Id)> Ends = new();
        internal bool IsLinkBusy, IsDown;
        internal int Landing, Batch;
        internal double Free, CacheBytes, Growth, Count, UpdatedAt, Tokens, BusySeconds, WorkSeconds;
    }
}
