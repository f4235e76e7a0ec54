using System.Diagnostics;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Routing;

/// <summary>What a request has been through, and whether it is tried again. One request's own.</summary>
internal sealed class RetryCourse(RoutingOptions options)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(10), LongestPause = TimeSpan.FromMilliseconds(400);

    private readonly HashSet<string> _failed = new(StringComparer.Ordinal), _ruledOut = new(StringComparer.Ordinal);
    private int _failures;
    private long _busySince;
    private TimeSpan _pause = TimeSpan.Zero;

    /// <summary>Attempts that failed.</summary>
    internal int Attempts { get; private set; }

    /// <summary>Workers that another one is preferred to.</summary>
    internal IReadOnlySet<string> Failed => _failed;

    /// <summary>Workers that the request can never fit.</summary>
    internal IReadOnlySet<string> RuledOut => _ruledOut;

    /// <summary>The last failure.</summary>
    internal WorkerException? Last { get; private set; }

    /// <summary>Counts a failure; the reason to give up, or null: try again.</summary>
    internal RequestFailure? Next(WorkerException failure, IReadOnlyCollection<string> blamed)
    {
        Attempts++;
        Last = failure;
        switch (failure.Failure)
        {
            case WorkerFailure.Invalid: return RequestFailure.Invalid;
            case WorkerFailure.TooLong:
                _ruledOut.UnionWith(blamed);
                return null;
            case WorkerFailure.Busy:
                if (_busySince == 0) _busySince = Stopwatch.GetTimestamp();
                if (Stopwatch.GetElapsedTime(_busySince) >= options.BusyWait) return RequestFailure.Busy;
                // Elsewhere there may be room at once; where it was full already it takes time.
                _pause = !_failed.IsSupersetOf(blamed) ? TimeSpan.Zero : _pause == TimeSpan.Zero ? FirstPause : _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
                break;
            default:
                if (++_failures >= options.MaxAttempts) return failure.Failure == WorkerFailure.Internal ? RequestFailure.Internal : RequestFailure.Lost;
                _pause = FirstPause * _failures;
                break;
        }

        _failed.UnionWith(blamed);
        return null;
    }

    /// <summary>Waits before the next attempt, where that makes sense.</summary>
    internal Task PauseAsync(CancellationToken cancellationToken) => _pause == TimeSpan.Zero ? Task.CompletedTask : Task.Delay(_pause, cancellationToken);
}
