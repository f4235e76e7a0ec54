using KvHandoff.Gateway.Limits;

namespace KvHandoff.Gateway.Tests.Limits;

public sealed class AdmissionQueueTests
{
    [Fact]
    public async Task Places_go_to_those_who_wait_in_order_and_no_more_may_wait_than_there_is_room()
    {
        var queue = new AdmissionQueue(maxRunning: 1, maxWaiting: 2);
        Assert.True(await queue.EnterAsync(default));
        Task<bool> second = queue.EnterAsync(default).AsTask(), third = queue.EnterAsync(default).AsTask();
        Assert.False(await queue.EnterAsync(default));
        Assert.Equal(2, queue.Waiting);
        queue.Leave();
        Assert.True(await second);
        Assert.False(third.IsCompleted);
        queue.Leave();
        Assert.True(await third);
        queue.Leave();
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task Who_gives_up_waiting_leaves_no_trace()
    {
        var queue = new AdmissionQueue(1, 4);
        await queue.EnterAsync(default);
        using var gone = new CancellationTokenSource();
        Task<bool> impatient = queue.EnterAsync(gone.Token).AsTask();
        Task<bool> patient = queue.EnterAsync(default).AsTask();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => impatient);
        queue.Leave();
        Assert.True(await patient);
        queue.Leave();
        Assert.Equal((0, 0), (queue.Running, queue.Waiting));
    }

    [Fact]
    public async Task Under_contention_never_more_run_than_may_and_all_get_through()
    {
        var queue = new AdmissionQueue(3, 1000);
        int running = 0, most = 0, done = 0;
        await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => Task.Run(async () =>
        {
            Assert.True(await queue.EnterAsync(default));
            int now = Interlocked.Increment(ref running);
            InterlockedMax(ref most, now);
            await Task.Yield();
            Interlocked.Decrement(ref running);
            Interlocked.Increment(ref done);
            queue.Leave();
        })));
        Assert.Equal(200, done);
        Assert.InRange(most, 1, 3);
        Assert.Equal(0, queue.Running);
    }

    private static void InterlockedMax(ref int target, int value)
    {
        for (int seen = Volatile.Read(ref target); value > seen; seen = Volatile.Read(ref target)) Interlocked.CompareExchange(ref target, value, seen);
    }
}
