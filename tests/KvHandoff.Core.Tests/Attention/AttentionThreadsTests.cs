using System.Diagnostics;
using System.Runtime.CompilerServices;
using KvHandoff.Attention;

namespace KvHandoff.Tests.Attention;

public sealed class AttentionThreadsTests
{
    const int PatienceSeconds = 60;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(64)]
    public void Each_item_runs_once_and_no_worker_twice_at_a_time(int count)
    {
        var threads = new AttentionThreads(count);
        Assert.Equal(count, threads.Count);
        foreach (int items in (int[])[0, 1, 2, count - 1, count, count + 1, 1000])
        {
            for (int round = 0; round < 20; round++)
            {
                int[] ran = new int[items], busy = new int[count];
                int shared = 0;
                threads.Run(items, (worker, item) =>
                {
                    if (Interlocked.Exchange(ref busy[worker], 1) != 0) Interlocked.Increment(ref shared);
                    Interlocked.Increment(ref ran[item]);
                    Thread.SpinWait(item % 7 * 10);
                    Volatile.Write(ref busy[worker], 0);
                });
                Assert.All(ran, times => Assert.Equal(1, times));
                Assert.All(busy, state => Assert.Equal(0, state));
                Assert.Equal(0, shared);
            }
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void Runs_may_follow_at_any_distance(int count)
    {
        // Around the time for which a thread stays, so that calls meet it as it comes, waits and goes.
        var threads = new AttentionThreads(count);
        var random = new Random(count);
        long expected = 0, sum = 0;
        for (int run = 0; run < 4000; run++)
        {
            int items = random.Next(1, 6), work = random.Next(200);
            expected += items * (items + 1) / 2;
            threads.Run(items, (_, item) =>
            {
                Thread.SpinWait(work);
                Interlocked.Add(ref sum, item + 1);
            });
            Assert.Equal(expected, sum);
            long until = Stopwatch.GetTimestamp() + random.Next(60) * Stopwatch.Frequency / 1_000_000;
            while (Stopwatch.GetTimestamp() < until) Thread.SpinWait(1);
            if (run % 500 == 0) Thread.Sleep(2);
        }
    }

    [Fact]
    public void Other_threads_take_part()
    {
        // Two items that wait for each other: the caller alone would not get through.
        var threads = new AttentionThreads(2);
        using var both = new Barrier(2);
        var workers = new int[2];
        threads.Run(2, (worker, item) =>
        {
            workers[item] = worker;
            Assert.True(both.SignalAndWait(TimeSpan.FromSeconds(PatienceSeconds)));
        });
        Assert.Equal([0, 1], workers.Order());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void An_exception_ends_the_run_when_nobody_runs_any_more(int count)
    {
        var threads = new AttentionThreads(count);
        for (int round = 0; round < 50; round++)
        {
            int running = 0, ran = 0;
            var thrown = new InvalidDataException("item 5");
            AggregateException failure = Assert.Throws<AggregateException>(() => threads.Run(1_000_000, (_, item) =>
            {
                Interlocked.Increment(ref running);
                Interlocked.Increment(ref ran);
                try
                {
                    if (item == 5) throw thrown;
                    Thread.SpinWait(50);
                }
                finally
                {
                    Interlocked.Decrement(ref running);
                }
            }));
            Assert.Same(thrown, Assert.Single(failure.InnerExceptions));
            Assert.Equal(0, Volatile.Read(ref running));
            Assert.InRange(ran, 6, 999_999);
            // It can be used again, and has forgotten the exception.
            int sum = 0;
            threads.Run(10, (_, item) => Interlocked.Add(ref sum, item));
            Assert.Equal(45, sum);
        }
    }

    [Fact]
    public void A_second_run_beside_the_first_is_refused()
    {
        var threads = new AttentionThreads(2);
        AggregateException nested = Assert.Throws<AggregateException>(() => threads.Run(1, (_, _) => threads.Run(1, (_, _) => { })));
        Assert.Contains("another instance", Assert.IsType<InvalidOperationException>(nested.InnerException).Message, StringComparison.Ordinal);
        InvalidOperationException? beside = null;
        threads.Run(1, (_, _) =>
        {
            var other = new Thread(() => beside = Assert.Throws<InvalidOperationException>(() => threads.Run(1, (_, _) => { })));
            other.Start();
            Assert.True(other.Join(TimeSpan.FromSeconds(PatienceSeconds)));
        });
        Assert.NotNull(beside);
        // Another instance may run inside, on any worker.
        int inner = 0;
        threads.Run(4, (_, _) => new AttentionThreads(2).Run(3, (_, _) => Interlocked.Increment(ref inner)));
        Assert.Equal(12, inner);
    }

    [Fact]
    public void A_pool_that_lends_no_thread_is_done_without()
    {
        using var release = new ManualResetEventSlim();
        int blocked = 0, blocks = 4 * Environment.ProcessorCount + ThreadPool.ThreadCount;
        using var ended = new CountdownEvent(blocks);
        for (int i = 0; i < blocks; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(_ =>
            {
                Interlocked.Increment(ref blocked);
                release.Wait();
                ended.Signal();
            }, null);
        }

        var ran = new int[100];
        var threads = new AttentionThreads(4);
        // Twice: what the first run has left in the pool's queue must not disturb the second.
        var caller = new Thread(() =>
        {
            for (int round = 0; round < 2; round++) threads.Run(ran.Length, (_, item) => Interlocked.Increment(ref ran[item]));
        });
        caller.Start();
        bool finished = caller.Join(TimeSpan.FromSeconds(PatienceSeconds));
        release.Set();
        Assert.True(finished);
        Assert.All(ran, times => Assert.Equal(2, times));
        Assert.True(ended.Wait(TimeSpan.FromSeconds(PatienceSeconds)));
        // The late members find nothing to do, and come when they are called again.
        threads.Run(ran.Length, (_, item) => Interlocked.Increment(ref ran[item]));
        Assert.All(ran, times => Assert.Equal(3, times));
        Assert.True(blocked > 0);
    }

    [Fact]
    public void A_run_allocates_nothing()
    {
        var threads = new AttentionThreads(3);
        int sum = 0;
        Action<int, int> body = (_, item) => Interlocked.Add(ref sum, item);
        long least = long.MaxValue;
        for (int round = 0; round < 20; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            threads.Run(50, body);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public void A_finished_run_keeps_nothing_alive()
    {
        // Whoever keeps the threads for the process's life would keep the last caller's memory with them.
        var threads = new AttentionThreads(2);
        WeakReference body = RunOnce(threads);
        for (int i = 0; i < 5 && body.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(body.IsAlive);
        GC.KeepAlive(threads);
    }

    [Fact]
    public void What_cannot_be_is_refused()
    {
        foreach (int count in (int[])[0, -1, 1025, int.MinValue])
        {
            string message = Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionThreads(count)).Message;
            Assert.Contains($"{count} threads; allowed: 1 to 1024", message, StringComparison.Ordinal);
        }

        var threads = new AttentionThreads(1024);
        Assert.Equal(1024, threads.Count);
        Assert.Throws<ArgumentNullException>(() => threads.Run(1, null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => threads.Run(-1, (_, _) => { }));
        // A refused run is over.
        threads.Run(1, (_, _) => { });
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    static WeakReference RunOnce(AttentionThreads threads)
    {
        byte[] captured = new byte[100];
        Action<int, int> body = (_, item) => captured[item]++;
        threads.Run(4, body);
        return new WeakReference(captured);
    }
}
