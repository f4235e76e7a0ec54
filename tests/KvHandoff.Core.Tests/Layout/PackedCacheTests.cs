using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Layout;

/// <summary>Packed blocks with a BF16 tail: appended to token by token, in chunks or at once.</summary>
public sealed class PackedCacheTests
{
    private const int Tokens = 150;

    public static TheoryData<string> Names => PackedCase.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public void The_bytes_do_not_depend_on_how_tokens_were_divided_among_calls(string name)
    {
        foreach (int blockTokens in (int[])[16, 64, 128])
        {
            using PagedKvCache atOnce = PackedCase.Cache(PackedCase.Group(name, blockTokens), 256), inParts = PackedCase.Cache(PackedCase.Group(name, blockTokens), 256);
            using KvSequence whole = PackedCase.Fill(atOnce, Tokens, 3);
            foreach (int chunk in (int[])[1, 7, 64, 100])
            {
                using KvSequence parts = PackedCase.Fill(inParts, Tokens, 3, chunk);
                AssertSameBytes(whole, parts);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_order_of_a_block_does_not_change_what_is_stored(string name)
    {
        using PagedKvCache own = PackedCase.Cache(PackedCase.Group(name, 32), 256);
        using KvSequence expected = PackedCase.Fill(own, Tokens, 5);
        foreach (DimensionOrder order in Enum.GetValues<DimensionOrder>())
        {
            using PagedKvCache cache = PackedCase.Cache(PackedCase.Group(name, 32, order), 256);
            using KvSequence sequence = PackedCase.Fill(cache, Tokens, 5);
            for (int head = 0; head < 3; head++)
            {
                foreach (KvPlane plane in Enum.GetValues<KvPlane>())
                    Assert.Equal(PackedCase.Unpack(expected, 1, head, plane), PackedCase.Unpack(sequence, 1, head, plane));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_is_read_is_close_to_what_was_written_and_the_tail_is_bf16(string name)
    {
        LayerGroup group = PackedCase.Group(name);
        using PagedKvCache cache = PackedCase.Cache(group, 256);
        using KvSequence sequence = PackedCase.Fill(cache, Tokens, 11);
        KvLayerView view = sequence.View(0);
        Assert.Equal(group.HasTail ? 128 : Tokens, view.PackedTokens);
        float[] keys = PackedCase.Rows(group, Tokens, 11);
        double relative = group.ElementType switch { ElementType.Fp8E5M2 => 0.13, ElementType.Fp8E4M3 => 0.07, _ => 0.01 };
        for (int head = 0; head < group.KvHeads; head++)
        {
            float[] read = PackedCase.Unpack(sequence, 0, head, KvPlane.Key);
            for (int t = 0; t < Tokens; t++)
            {
                for (int d = 0; d < group.HeadDim; d++)
                {
                    float written = keys[(t * group.KvHeads + head) * group.HeadDim + d], rounded = (float)(BFloat16)written;
                    float found = read[t * group.HeadDim + d];
                    if (t >= view.PackedTokens) Assert.Equal(rounded, found);
                    else Assert.True(Math.Abs(found - written) <= relative * Math.Abs(written) + 0.03, $"token {t}, element {d}: wrote {written}, read {found}");
                }
            }
        }
    }

    [Fact]
    public void A_sequence_takes_a_tail_and_gives_it_back()
    {
        LayerGroup group = PackedCase.Group("int8", 16);
        using PagedKvCache cache = PagedKvCache.Allocate(new KvCacheLayout(PackedCase.Model, [group]), 256, sequences: 2);
        KvSequence first = cache.CreateSequence(), second = cache.CreateSequence(), third = cache.CreateSequence();
        Assert.True(first.TryReserve(40));
        Assert.True(second.TryReserve(1));
        Assert.Equal(0, cache.FreeTokens);
        Assert.False(third.TryReserve(16));
        Assert.Equal(3 + 1 + 2, cache.UsedBlocks);
        first.Dispose();
        Assert.True(third.TryReserve(16));
        Assert.True(third.TryReserve(32));
        second.Dispose();
        third.Dispose();
        Assert.Equal(0, cache.UsedBlocks);
        Assert.Equal(256, cache.FreeTokens);
    }

    [Fact]
    public void Rows_before_the_tile_that_is_being_filled_are_refused_with_the_numbers()
    {
        using PagedKvCache cache = PackedCase.Cache(PackedCase.Group("fp8"), 256);
        using KvSequence sequence = PackedCase.Fill(cache, 100, 1);
        Assert.True(sequence.TryReserve(200));
        float[] token = PackedCase.Rows(cache.Layout.Groups[0], 1, 9);
        string before = Assert.Throws<ArgumentException>(() => sequence.WriteRows(0, 63, token, token)).Message;
        Assert.Contains("from 64 to 100", before);
        Assert.Contains("not from 63", before);
        Assert.Contains("not from 101", Assert.Throws<ArgumentException>(() => sequence.WriteRows(0, 101, token, token)).Message);
        sequence.WriteRows(0, 100, token, token);
        sequence.WriteRows(0, 101, token, token);
    }

    private static void AssertSameBytes(KvSequence expected, KvSequence actual)
    {
        for (int layer = 0; layer < 2; layer++)
        {
            KvLayerView a = expected.View(layer), b = actual.View(layer);
            for (int head = 0; head < 3; head++)
            {
                foreach (KvPlane plane in Enum.GetValues<KvPlane>())
                {
                    for (int token = 0; token < a.Tokens; token++)
                    {
                        if (!a.Row(head, plane, token).SequenceEqual(b.Row(head, plane, token))) Assert.Fail($"layer {layer}, head {head}, {plane}, token {token}");
                    }

                    // Scales of whole tiles; what lies behind them in a block is not written.
                    StorageForm form = a.Group.Form(plane);
                    for (int block = 0; block < a.BlockCount && form.HasStoredScales; block++)
                    {
                        int bytes = form.ScaleBytes(a.TokensIn(block), a.Group.HeadDim);
                        Assert.True(a.Scales(block, head, plane)[..bytes].SequenceEqual(b.Scales(block, head, plane)[..bytes]), $"scales of block {block}");
                    }
                }
            }
        }
    }
}
