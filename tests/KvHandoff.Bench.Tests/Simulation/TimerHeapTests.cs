using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Simulation;

public sealed class TimerHeapTests
{
    [Fact]
    public void Timers_go_off_in_the_order_of_their_times_and_equal_ones_in_that_of_their_setting()
    {
        var random = new SimulationRandom(11);
        var heap = new TimerHeap();
        var expected = new SortedDictionary<(double Time, int Order), int>();
        var keys = new Dictionary<int, (double Time, int Order)>();
        double last = 0;
        for (int step = 0; step < 20_000; step++)
        {
            int timer = random.Next(300);
            double what = random.Next();
            if (what < 0.6)
            {
                // Few different times, so that many are equal.
                double time = last + random.Next(20);
                heap.Set(timer, time);
                if (keys.TryGetValue(timer, out (double Time, int Order) old) && old.Time == time) continue;
                if (keys.Remove(timer, out old)) expected.Remove(old);
                keys[timer] = (time, step);
                expected[(time, step)] = timer;
            }
            else if (what < 0.7)
            {
                if (random.Next() < 0.5) heap.Cancel(timer);
                else heap.Set(timer, double.PositiveInfinity);
                if (keys.Remove(timer, out (double Time, int Order) old)) expected.Remove(old);
            }
            else if (expected.Count > 0)
            {
                ((double time, int order), int first) = expected.First();
                Assert.True(heap.TryPop(out int popped, out double at));
                Assert.Equal((first, time), (popped, at));
                expected.Remove((time, order));
                keys.Remove(first);
                last = time;
            }

            Assert.Equal(expected.Count, heap.Count);
        }
    }

    [Fact]
    public void The_least_of_many_is_found()
    {
        var random = new SimulationRandom(12);
        var tree = new LeastTree(37, 5);
        double[] values = [.. Enumerable.Repeat(5.0, 37)];
        for (int i = 0; i < 2000; i++)
        {
            int node = random.Next(37);
            tree[node] = values[node] = random.Next(50);
            Assert.Equal(Array.IndexOf(values, values.Min()), tree.Least);
        }
    }

    [Fact]
    public void The_least_recently_used_blocks_leave_first()
    {
        var cache = new PrefixCache(3);
        cache.Add([1, 2, 3]);
        Assert.Equal(2, cache.Find([1, 2, 9]));
        cache.Add([4]);
        Assert.Equal(0, cache.Find([3]));
        Assert.Equal(3, cache.Find([1, 2, 4, 5]));
        Assert.Equal(3, cache.Count);
        Assert.Equal(0, new PrefixCache(0).Find([1]));
    }
}
