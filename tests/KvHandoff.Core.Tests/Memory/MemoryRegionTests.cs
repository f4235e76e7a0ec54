using KvHandoff.Memory;

namespace KvHandoff.Core.Tests.Memory;

public sealed class MemoryRegionTests
{
    [Fact]
    public void An_own_slab_is_aligned_zeroed_and_bounded()
    {
        using NativeSlab slab = NativeSlab.Allocate(5_000_001);
        Assert.Equal(0, slab.Address % (2 << 20));
        Assert.Equal(-1, slab.Span(0, 5_000_001).IndexOfAnyExcept((byte)0));
        slab.Span(5_000_000, 1)[0] = 7;
        Assert.Equal(7, slab.Memory(5_000_000, 1).Span[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => slab.Span(5_000_000, 2).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => slab.Span(-1, 1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => slab.Span(long.MaxValue, 1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => slab.Memory(0, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => NativeSlab.Allocate(0));
    }

    [Fact]
    public void A_disposed_region_is_not_touched()
    {
        NativeSlab slab = NativeSlab.Allocate(100);
        slab.Dispose();
        slab.Dispose();
        Assert.Throws<ObjectDisposedException>(() => slab.Span(0, 1).Length);
        Assert.Throws<ObjectDisposedException>(() => slab.Address);
    }

    [Fact]
    public void A_memfd_is_seen_through_a_second_mapping()
    {
        using SharedSlab slab = SharedSlab.Create("kvhandoff-test", 10_000);
        int duplicate = Duplicate(slab.FileDescriptor);
        using SharedSlab other = SharedSlab.Open(duplicate, 10_000);
        Assert.NotEqual(slab.Address, other.Address);
        slab.Span(9_999, 1)[0] = 42;
        Assert.Equal(42, other.Span(9_999, 1)[0]);
        other.Fill(3);
        Assert.Equal(-1, slab.Span(0, 10_000).IndexOfAnyExcept((byte)3));
    }

    [Fact]
    public void A_memfd_that_is_shorter_than_announced_is_refused_with_both_sizes()
    {
        using SharedSlab slab = SharedSlab.Create("kvhandoff-test", 4096);
        int duplicate = Duplicate(slab.FileDescriptor);
        string message = Assert.Throws<InvalidDataException>(() => SharedSlab.Open(duplicate, 4097)).Message;
        Assert.Contains("4096", message);
        Assert.Contains("4097", message);
    }

    [Fact]
    public void Host_memory_is_returned_and_not_freed()
    {
        using NativeSlab owner = NativeSlab.Allocate(100);
        int released = 0;
        HostRegion region = HostRegion.Wrap(owner.Address, 100, () => released++);
        region.Span(50, 1)[0] = 9;
        region.Dispose();
        region.Dispose();
        Assert.Equal(1, released);
        Assert.Equal(9, owner.Span(50, 1)[0]);
        Assert.Throws<ArgumentException>(() => HostRegion.Wrap(0, 100));
        Assert.Throws<ArgumentException>(() => HostRegion.Wrap(-50, 100));
    }

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "dup")]
    private static extern int Duplicate(int descriptor);
}
