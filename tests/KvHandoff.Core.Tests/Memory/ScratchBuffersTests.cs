using KvHandoff.Memory;

namespace KvHandoff.Core.Tests.Memory;

public sealed class ScratchBuffersTests
{
    [Fact]
    public void A_thread_that_has_seen_its_sizes_allocates_no_more_whatever_the_collector_does()
    {
        for (int i = 0; i < 3; i++) Nested();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) Nested();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        static void Nested()
        {
            byte[] outer = ScratchBuffers.Rent(30_000), middle = ScratchBuffers.Rent(100_000), inner = ScratchBuffers.Rent(1);
            Assert.True(outer.Length >= 30_000 && middle.Length >= 100_000 && inner.Length >= 1);
            Assert.False(ReferenceEquals(outer, middle) || ReferenceEquals(middle, inner) || ReferenceEquals(outer, inner));
            ScratchBuffers.Return(inner);
            ScratchBuffers.Return(middle);
            ScratchBuffers.Return(outer);
        }
    }

    [Fact]
    public void A_buffer_that_was_not_given_back_is_not_lent_twice()
    {
        bool distinct = false, again = false;
        // A thread of its own: this one may keep buffers of other tests.
        var thread = new Thread(() =>
        {
            byte[] kept = ScratchBuffers.Rent(5000), other = ScratchBuffers.Rent(5000);
            distinct = !ReferenceEquals(kept, other);
            ScratchBuffers.Return(other);
            again = ReferenceEquals(other, ScratchBuffers.Rent(5000));
        });
        thread.Start();
        thread.Join();
        Assert.True(distinct);
        Assert.True(again);
    }
}
