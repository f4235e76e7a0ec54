using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Offers whose frames choose their codec.</summary>
public sealed class AutoCodecTests
{
    private const int Tokens = 40 * KvSegment.GranuleTokens;

    [Theory]
    [InlineData(CodecId.Auto, 1)]
    [InlineData(CodecId.Auto, 3)]
    public async Task Auto_is_lossless_and_tries_the_exponent_window(CodecId codec, int streams)
    {
        await using SessionFixture f = await SessionFixture.StartAsync(SessionFixture.Layout(headDim: 64, kvHeads: 4), tokens: Tokens, codec: codec, streams: streams);
        using KvSequence sent = SessionFixture.Fill(f.Source, Tokens, seed: 5);
        (KvSequence landed, HandoffCost cost, _) = await f.HandOverAsync(sent);
        SessionFixture.AssertSameRows(sent, landed);
        // At least one frame was tried in the lossless codec, and so took fewer bytes than its rows.
        Assert.True(cost.BytesCopied > 0, "No frame was encoded.");
        landed.Dispose();
    }

    [Fact]
    public async Task Auto_leaves_out_codecs_that_do_not_take_the_rows()
    {
        KvCacheLayout layout = SessionFixture.Layout(type: KvHandoff.Numerics.ElementType.Float16);
        await using SessionFixture f = await SessionFixture.StartAsync(layout, tokens: Tokens, codec: CodecId.AutoLossy);
        using KvSequence sent = SessionFixture.Fill(f.Source, 130, seed: 6);
        (KvSequence landed, HandoffCost cost, _) = await f.HandOverAsync(sent);
        Assert.Equal(130, landed.Tokens);
        Assert.True(cost.WireBytes > 0);
        landed.Dispose();
    }
}
