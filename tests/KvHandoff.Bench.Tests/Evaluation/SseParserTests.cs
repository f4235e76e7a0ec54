using System.Text;
using KvHandoff.Bench.Evaluation.Endpoint;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>The event parser against an oracle that reads the whole text at once, in every portioning.</summary>
public sealed class SseParserTests
{
    [Theory]
    [InlineData("data: a\n\ndata: b\n\n", "|a", "|b")]
    [InlineData("data:a\r\n\r\ndata:  b\r\n\r\n", "|a", "| b")]
    [InlineData("data: a\r\rdata: b\r\r", "|a", "|b")]
    [InlineData(": comment\nevent: error\ndata: x\n: other\n\n", "error|x")]
    [InlineData("data: one\ndata: two\ndata\n\n", "|one\ntwo\n")]
    [InlineData("\uFEFFdata: a\n\n\n\n\nid: 7\nretry: 5\n\ndata: b\n\n", "|a", "|b")]
    [InlineData("event: lost\n\ndata: a\n\n", "|a")]
    [InlineData("data: never ended\n")]
    [InlineData("nonsense\n:\n\ndatax: 1\n\n")]
    [InlineData("data: {\"a\":\"x:y\"}\n\n", "|{\"a\":\"x:y\"}")]
    public void EveryPortioningGivesTheSameEvents(string text, params string[] expected)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Assert.Equal(expected, Feed(bytes, [bytes.Length]));
        for (int size = 1; size <= 5; size++) Assert.Equal(expected, Feed(bytes, [size]));
        for (int cut = 0; cut <= bytes.Length; cut++) Assert.Equal(expected, Feed(bytes, [cut, bytes.Length]));
        Assert.Equal(expected, Oracle(text));
    }

    [Fact]
    public void RandomStreamsEqualTheOracle()
    {
        var random = new Random(5);
        string[] parts = ["data: ", "data:", "event: e", ":", "\n", "\r\n", "\r", "x", "{}", "é", "data", " ", "\n\n", "[DONE]"];
        for (int i = 0; i < 2000; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 30)).Select(_ => parts[random.Next(parts.Length)]));
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            Assert.Equal(Oracle(text), Feed(bytes, [.. Enumerable.Range(0, bytes.Length).Select(_ => random.Next(1, 8))]));
        }
    }

    [Fact]
    public void LimitsEndTheStreamWithAReason()
    {
        var limits = new SseLimits(LineBytes: 10, EventBytes: 15, TotalBytes: 100);
        var line = new SseParser(limits);
        Assert.False(line.TryFeed("data: 0123456789"u8, Ignore));
        Assert.Contains("10 bytes", line.Failure);
        Assert.False(line.TryFeed("\n\n"u8, Ignore));

        var several = new SseParser(limits);
        Assert.True(several.TryFeed("data: 0123\ndata: 4567\n"u8, Ignore));
        Assert.True(several.TryFeed("data: 89\n"u8, Ignore));
        Assert.False(several.TryFeed("data: abcd\n"u8, Ignore));
        Assert.Contains("15 bytes", several.Failure);

        var endless = new SseParser(limits);
        for (int i = 0; i < 10; i++) Assert.True(endless.TryFeed("data: 01\n\n"u8, Ignore));
        Assert.False(endless.TryFeed("\n"u8, Ignore));
        Assert.Contains("100 bytes", endless.Failure);
    }

    private static void Ignore(string name, ReadOnlySpan<byte> data)
    {
    }

    private static List<string> Feed(byte[] bytes, int[] sizes)
    {
        var parser = new SseParser();
        var events = new List<string>();
        int at = 0, turn = 0;
        while (at < bytes.Length)
        {
            int size = Math.Min(sizes[turn++ % sizes.Length], bytes.Length - at);
            Assert.True(parser.TryFeed(bytes.AsSpan(at, size), (name, data) => events.Add($"{name}|{Encoding.UTF8.GetString(data)}")));
            at += size;
        }

        return events;
    }

    // The standard's words, on whole lines.
    private static List<string> Oracle(string text)
    {
        var events = new List<string>();
        string name = "";
        List<string>? data = null;
        string[] lines = text.TrimStart('\uFEFF').Replace("\r\n", "\n").Replace('\r', '\n').Split('\n');
        foreach (string line in lines[..^1])
        {
            if (line.Length == 0)
            {
                if (data is not null) events.Add($"{name}|{string.Join('\n', data)}");
                (name, data) = ("", null);
                continue;
            }

            string[] halves = line.Split(':', 2);
            string value = halves.Length > 1 ? halves[1].StartsWith(' ') ? halves[1][1..] : halves[1] : "";
            if (halves[0] == "data") (data ??= []).Add(value);
            else if (halves[0] == "event") name = value;
        }

        return events;
    }
}
