using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Native.Tests;

public sealed class FailureTests
{
    [Fact]
    public void Every_way_a_handoff_fails_has_a_status_that_says_what_to_rebuild()
    {
        foreach (HandoffFailure failure in Enum.GetValues<HandoffFailure>())
        {
            int status = Failure.Of(new HandoffException(failure, "why")).Status;
            Assert.NotEqual(Status.Internal, status);
            Assert.True(status <= -100, $"{failure} is {status}, as if the call were to blame.");
        }

        Assert.Equal(Status.PeerGone, Failure.Of(new HandoffException(HandoffFailure.PeerGone, "gone")).Status);
        Assert.Equal(Status.Rejected, Failure.Of(new HandoffException(HandoffFailure.Rejected, "full")).Status);
    }

    [Fact]
    public void Exceptions_become_the_status_of_their_kind_and_keep_their_text()
    {
        Dictionary<Exception, int> expected = new()
        {
            [new ArgumentOutOfRangeException("layer", "Layer 9 of 8.")] = Status.Argument,
            [new InvalidOperationException("not now")] = Status.State,
            [new ObjectDisposedException("sender")] = Status.State,
            [new OutOfMemoryException("no memory")] = Status.NoMemory,
            [new NotSupportedException("not here")] = Status.Unsupported,
            [new DllNotFoundException("liblz4")] = Status.Unsupported,
            [new TimeoutException("late")] = Status.Expired,
            [new OperationCanceledException("cancelled")] = Status.Aborted,
            [new TransportException(TransportStatus.Reset, "reset")] = Status.Transport,
            [new IOException("disk")] = Status.Transport,
            [new OverflowException("large")] = Status.Argument,
            [new StatusException(Status.InUse, "in use")] = Status.InUse,
            [new InvalidCastException("a defect")] = Status.Internal,
        };
        foreach ((Exception exception, int status) in expected)
        {
            FailureInfo info = Failure.Of(exception);
            Assert.Equal(status, info.Status);
            Assert.Contains(exception.Message, info.Text, StringComparison.Ordinal);
            // As tasks wrap them.
            Assert.Equal(status, Failure.Of(new AggregateException(exception)).Status);
        }
    }

    [Fact]
    public void The_last_failure_is_remembered_for_the_thread_and_for_no_other()
    {
        Assert.Equal(Status.State, Failure.Report(0, new InvalidOperationException("mine")));
        Assert.Equal("mine", Failure.OfThread?.Text);
        FailureInfo? elsewhere = new(0, "");
        var thread = new Thread(() => elsewhere = Failure.OfThread);
        thread.Start();
        thread.Join();
        Assert.Null(elsewhere);
    }
}
