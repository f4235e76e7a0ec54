using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>
/// The network of one case, in which one thing happens at a time: bytes of one direction arrive, or its end does. The next comes when nothing in the process
/// runs any more, and the seed says from where. So the order of everything that crosses between two sides is the seed's and not the machine's.
/// </summary>
/// <remarks>
/// Every direction has its rank for bytes and another for its end, drawn once. A draw per step would not do: which of a sender's threads takes a frame is the
/// machine's choice, and would move all later draws.
/// </remarks>
internal sealed class StepNetwork(int seed)
{
    private readonly Lock _gate = new();
    private readonly Random _random = new(seed);
    private readonly List<StepDirection> _directions = [];
    private TaskCompletionSource? _quiet;

    /// <summary>Joins the two ends of a connection; of each end the stream that it writes and the one that it reads.</summary>
    internal void Add(LoopbackStream fromConnecting, LoopbackStream toAccepting, LoopbackStream fromAccepting, LoopbackStream toConnecting)
    {
        lock (_gate)
        {
            _directions.Add(new StepDirection(fromConnecting, toAccepting, _random));
            _directions.Add(new StepDirection(fromAccepting, toConnecting, _random));
        }
    }

    /// <summary>Completes when nothing is on its way and nothing in the process runs.</summary>
    internal Task QuietAsync()
    {
        lock (_gate)
        {
            Unstick();
            return (_quiet ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Called when nothing runs: one thing happens. False when nothing is left to happen and nobody waits for that.</summary>
    internal bool Step()
    {
        lock (_gate)
        {
            StepDirection? next = null;
            foreach (StepDirection direction in _directions)
            {
                // A writer that had no room goes on from here: a step of its own.
                if (direction.TakeIn()) return true;
                if (direction.HasSomething && (next is null || direction.Rank < next.Rank)) next = direction;
            }

            if (next is not null)
            {
                if (next.Deliver()) Unstick();
                if (next.IsOver) _directions.Remove(next);
                return true;
            }

            if (_quiet is null) return false;
            _quiet.SetResult();
            _quiet = null;
            return true;
        }
    }

    // Who did not read may do so now that something has happened.
    private void Unstick()
    {
        foreach (StepDirection direction in _directions) direction.IsStuck = false;
    }

    /// <summary>One direction of a connection: what was written and has not arrived.</summary>
    private sealed class StepDirection(LoopbackStream from, LoopbackStream to, Random random)
    {
        private readonly int _bytesRank = random.Next(), _endRank = random.Next();
        private readonly byte[] _buffer = new byte[LoopbackStream.CapacityBytes];
        private int _start, _end;
        private TransportStatus _fromStatus = TransportStatus.Ok;

        /// <summary>Nobody takes what has arrived, and there is no room for more.</summary>
        internal bool IsStuck { get; set; }

        internal bool IsOver { get; private set; }

        internal bool HasSomething => !IsStuck && !IsOver && (_end > _start || _fromStatus != TransportStatus.Ok);

        internal int Rank => _end > _start ? _bytesRank : _endRank;

        /// <summary>Takes what was written; true when its writer was waiting for room.</summary>
        internal bool TakeIn()
        {
            if (_fromStatus != TransportStatus.Ok || _end > _start) return false;
            _start = 0;
            _end = from.Read(_buffer, wait: false, out _fromStatus);
            return _end == _buffer.Length;
        }

        /// <summary>False when there was no room.</summary>
        internal bool Deliver()
        {
            if (_end > _start)
            {
                int moved = to.Write(_buffer.AsSpan(_start, _end - _start), wait: false, out TransportStatus status);
                _start += moved;
                IsStuck = moved == 0 && status == TransportStatus.Ok;
                if (status == TransportStatus.Ok) return !IsStuck;
                // The reader has left: its writer learns it at the next write.
                from.LeaveReader();
                IsOver = true;
                return true;
            }

            if (_fromStatus == TransportStatus.Closed) to.End();
            else to.Break();
            IsOver = true;
            return true;
        }
    }
}
