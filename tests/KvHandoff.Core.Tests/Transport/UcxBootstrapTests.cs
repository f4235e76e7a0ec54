using System.Buffers.Binary;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>The greeting is read from whoever connects: no length of it is trusted. No UCX is needed for this.</summary>
public sealed class UcxBootstrapTests
{
    private static readonly UcxRemoteRegion[] Regions = [new(0x7000_0000, 4096, [1, 2, 3]), new(0x9000_0000, 1 << 30, [4])];

    [Fact]
    public void A_greeting_comes_back_as_it_was()
    {
        byte[] message = UcxBootstrap.Write(1 << 20, [7, 8, 9], Regions);
        Assert.Null(UcxBootstrap.TryRead(message.AsSpan(UcxBootstrap.HeadBytes), 2, out UcxGreeting read));
        Assert.Equal(1 << 20, read.WindowBytes);
        Assert.True(read.IsSameHost);
        Assert.Equal([7, 8, 9, 0], read.Address[..4]);
        Assert.Equal(2, read.Regions.Length);
        Assert.Equal((0x7000_0000UL, 4096L), (read.Regions[0].Address, read.Regions[0].LengthBytes));
        Assert.Equal([1, 2, 3, 0], read.Regions[0].Key[..4]);
    }

    [Theory]
    [InlineData(0, UcxBootstrap.MinWindowBytes - 1)]
    [InlineData(0, UcxBootstrap.MaxWindowBytes + 1)]
    [InlineData(4, -1)]
    [InlineData(4, 3)]
    [InlineData(4, 1)]
    [InlineData(8, 0)]
    [InlineData(8, 1 << 20)]
    [InlineData(8, int.MinValue)]
    public void A_lying_number_is_refused(int offset, int value)
    {
        byte[] bytes = UcxBootstrap.Write(1 << 20, [7, 8, 9], Regions)[UcxBootstrap.HeadBytes..];
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(offset), value);
        Assert.NotNull(UcxBootstrap.TryRead(bytes, 2, out _));
    }

    [Fact]
    public void A_greeting_cut_anywhere_or_with_bytes_behind_it_is_refused()
    {
        byte[] bytes = UcxBootstrap.Write(1 << 20, [7, 8, 9], Regions)[UcxBootstrap.HeadBytes..];
        for (int length = 0; length < bytes.Length; length++) Assert.NotNull(UcxBootstrap.TryRead(bytes.AsSpan(0, length), 2, out _));
        Assert.NotNull(UcxBootstrap.TryRead([.. bytes, 0], 2, out _));
        Assert.NotNull(UcxBootstrap.TryRead(bytes, 1, out _));
    }

    [Fact]
    public void Pieces_that_overtake_each_other_are_put_in_order_and_none_leaves_the_window()
    {
        var input = new UcxInput(16);
        Assert.Null(input.Add(4, [4, 5]));
        Assert.Equal(0, input.Waiting);
        Assert.Null(input.Add(0, [0, 1, 2, 3]));
        Assert.Equal(6, input.Waiting);
        Assert.NotNull(input.Add(5, [9]));
        Assert.NotNull(input.Add(6, new byte[11]));
        Assert.Null(input.Add(6, new byte[10]));
        byte[] taken = new byte[6];
        Assert.Equal(6, input.Take(taken));
        Assert.Equal([0, 1, 2, 3, 4, 5], taken);
    }
}
