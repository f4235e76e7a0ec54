using System.Text;
using KvHandoff.Gateway.Chat;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Tests.Api;

public sealed class TokenTextTests
{
    [Fact]
    public void A_character_comes_when_its_last_byte_has()
    {
        int[] tokens = ByteTokenizer.Encode("a€𝄞");
        var text = new TokenText();
        Assert.Equal("a", text.Append(tokens.AsSpan(0, 1)));
        Assert.Equal("", text.Append(tokens.AsSpan(1, 1)));
        Assert.Equal("", text.Append(tokens.AsSpan(2, 1)));
        Assert.Equal("€", text.Append(tokens.AsSpan(3, 1)));
        Assert.Equal("", text.Append(tokens.AsSpan(4, 3)));
        Assert.Equal("𝄞", text.Append(tokens.AsSpan(7, 1)));
        Assert.Equal("", text.Finish());
    }

    [Fact]
    public void A_character_that_is_never_completed_becomes_a_replacement()
    {
        var text = new TokenText();
        Assert.Equal("x", text.Append([(int)'x', 0xE2, 0x82]));
        Assert.Equal("\uFFFD", text.Finish());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void However_any_bytes_are_cut_the_pieces_joined_are_the_whole(int seed)
    {
        var random = new Random(seed);
        for (int run = 0; run < 2000; run++)
        {
            // Bytes of the kinds that UTF-8 is made of, so that broken sequences of every sort are frequent.
            var bytes = new byte[random.Next(1, 24)];
            for (int i = 0; i < bytes.Length; i++) bytes[i] = (byte)(random.Next(5) switch { 0 => random.Next(0x20, 0x7F), 1 => random.Next(0x80, 0xC0), 2 => random.Next(0xC0, 0xE0), 3 => random.Next(0xE0, 0xF0), _ => random.Next(0xF0, 0x100) });
            var text = new TokenText();
            var joined = new StringBuilder();
            for (int at = 0; at < bytes.Length;)
            {
                int length = random.Next(1, Math.Min(4, bytes.Length - at) + 1);
                joined.Append(text.Append(ByteTokenizer.Encode(bytes.AsSpan(at, length))));
                at += length;
            }

            joined.Append(text.Finish());
            Assert.Equal(Encoding.UTF8.GetString(bytes), joined.ToString());
        }
    }
}
