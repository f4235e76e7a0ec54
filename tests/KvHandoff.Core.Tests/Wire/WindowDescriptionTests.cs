using System.Buffers.Binary;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Wire;

/// <summary>The description of a receiver's blocks, which a sender maps and writes to: what does not lie inside the shared memory is refused.</summary>
public sealed class WindowDescriptionTests : IDisposable
{
    private static readonly KvCacheLayout Layout = KvCacheLayout.Uniform(new ModelIdentity("test-model", "0123abcd", 10000), 2, 2, 32);

    private readonly SharedSlab _slab = SharedSlab.Create("kvhandoff-test", PagedKvCache.RequiredBytes(Layout, 256));
    private readonly PagedKvCache _cache;
    private readonly byte[] _valid;

    public WindowDescriptionTests()
    {
        _cache = PagedKvCache.Over(Layout, _slab, 256);
        _valid = CacheWindow.Write(_cache, CacheWindow.RegionsOf(_cache)).Memory.ToArray();
    }

    [Fact]
    public void A_description_comes_back_as_the_same_blocks()
    {
        Assert.Null(Read(_valid, out PagedKvCache? read));
        for (int layer = 0; layer < 2; layer++)
        {
            for (int slot = 0; slot < _cache.Pools[0].Capacity; slot++)
            {
                _cache.Pools[0].Block(layer, slot).Fill((byte)(layer * 16 + slot + 1));
                Assert.False(read!.Pools[0].Block(layer, slot).ContainsAnyExcept((byte)(layer * 16 + slot + 1)));
            }
        }
    }

    // Slots u32; per layer region u32, offset i64, stride i64; slots of the tails u32.
    [Theory]
    [InlineData(0, 4, 0)]
    [InlineData(0, 4, -1)]
    [InlineData(0, 4, int.MaxValue)]
    [InlineData(0, 4, 5)]
    [InlineData(4, 4, 1)]
    [InlineData(4, 4, -1)]
    [InlineData(8, 8, -1)]
    [InlineData(8, 8, long.MaxValue)]
    [InlineData(8, 8, long.MinValue)]
    [InlineData(8, 8, 1 << 20)]
    [InlineData(16, 8, 0)]
    [InlineData(16, 8, -1)]
    [InlineData(16, 8, 1)]
    [InlineData(16, 8, long.MaxValue)]
    [InlineData(28, 8, long.MaxValue)]
    [InlineData(44, 4, 1)]
    public void What_lies_outside_is_refused(int offset, int bytes, long value)
    {
        byte[] forged = [.. _valid];
        Span<byte> number = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(number, value);
        number[..bytes].CopyTo(forged.AsSpan(offset));
        Assert.NotNull(Read(forged, out PagedKvCache? read));
        Assert.Null(read);
    }

    [Fact]
    public void A_description_cut_anywhere_or_with_bytes_behind_it_is_refused()
    {
        for (int bytes = 0; bytes < _valid.Length; bytes++) Assert.NotNull(Read(_valid[..bytes], out _));
        Assert.NotNull(Read([.. _valid, 0], out _));
    }

    public void Dispose()
    {
        _cache.Dispose();
        _slab.Dispose();
    }

    private string? Read(ReadOnlySpan<byte> bytes, out PagedKvCache? cache) => CacheWindow.TryRead(bytes, Layout, [_slab], out cache);
}
