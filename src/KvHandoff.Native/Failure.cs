using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Native;

/// <summary>A failure as the host asks for it.</summary>
sealed record FailureInfo(int Status, string Text)
{
    internal int RejectReason { get; init; }

    internal long BytesNeeded { get; init; }

    internal long BytesFree { get; init; }

    internal long RetryAfterMs { get; init; }
}

/// <summary>Where exceptions end: every export reports here and returns the status, so that none crosses the border.</summary>
static class Failure
{
    [ThreadStatic]
    static FailureInfo? t_last;

    /// <summary>The last failure of the calling thread.</summary>
    internal static FailureInfo? OfThread => t_last;

    /// <summary>Remembers what went wrong for the thread, and for the handle where there is one.</summary>
    internal static int Report(ulong handle, Exception exception)
    {
        FailureInfo info = Of(exception);
        t_last = info;
        if (handle != 0 && HandleTable.Find(handle) is { } target) target.LastFailure = info;
        if (info.Status == Status.Internal) Log.Write(LogLevel.Error, handle, info.Text);
        return info.Status;
    }

    internal static int Report(int status, string text)
    {
        t_last = new FailureInfo(status, text);
        return status;
    }

    /// <summary>Remembers a failure that happened on another thread.</summary>
    internal static int Report(FailureInfo info)
    {
        t_last = info;
        return info.Status;
    }

    internal static FailureInfo Of(Exception exception) => exception switch
    {
        StatusException e => new FailureInfo(e.Status, e.Message),
        HandoffException e => OfHandoff(e),
        AggregateException { InnerExceptions.Count: 1 } e => Of(e.InnerExceptions[0]),
        KvLayoutException => new FailureInfo(Status.Layout, exception.Message),
        TransportException => new FailureInfo(Status.Transport, exception.Message),
        SharedBlocksException => new FailureInfo(Status.State, exception.Message),
        ObjectDisposedException => new FailureInfo(Status.State, exception.Message),
        ArgumentException => new FailureInfo(Status.Argument, exception.Message),
        InvalidOperationException => new FailureInfo(Status.State, exception.Message),
        OperationCanceledException => new FailureInfo(Status.Aborted, exception.Message),
        TimeoutException => new FailureInfo(Status.Expired, exception.Message),
        OutOfMemoryException => new FailureInfo(Status.NoMemory, exception.Message),
        OverflowException => new FailureInfo(Status.Argument, "A number is out of range: " + exception.Message),
        DllNotFoundException or EntryPointNotFoundException or PlatformNotSupportedException or NotSupportedException => new FailureInfo(Status.Unsupported, exception.Message),
        IOException or UnauthorizedAccessException => new FailureInfo(Status.Transport, exception.Message),
        System.Security.Cryptography.CryptographicException => new FailureInfo(Status.Argument, exception.Message),
        _ => new FailureInfo(Status.Internal, $"{exception.GetType().Name}: {exception.Message}"),
    };

    static FailureInfo OfHandoff(HandoffException e) => new(e.Failure switch
    {
        HandoffFailure.Rejected => Status.Rejected,
        HandoffFailure.LayoutMismatch => Status.Mismatch,
        HandoffFailure.ProtocolMismatch => Status.Protocol,
        HandoffFailure.Corrupt => Status.Corrupt,
        HandoffFailure.PeerGone => Status.PeerGone,
        HandoffFailure.Expired => Status.Expired,
        HandoffFailure.Aborted => Status.Aborted,
        HandoffFailure.StaleEpoch => Status.StaleEpoch,
        HandoffFailure.TransportFailed => Status.Transport,
        _ => Status.Internal,
    }, e.Message)
    {
        RejectReason = (int)e.RejectReason,
        BytesNeeded = e.BytesNeeded,
        BytesFree = e.BytesFree,
        RetryAfterMs = (long)e.RetryAfter.TotalMilliseconds,
    };
}
