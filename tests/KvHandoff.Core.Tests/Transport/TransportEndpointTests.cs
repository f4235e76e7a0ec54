using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public sealed class TransportEndpointTests
{
    [Theory]
    [InlineData("tcp://127.0.0.1:7400", "tcp", "127.0.0.1", 7400, true)]
    [InlineData("tcp://127.8.9.1:1", "tcp", "127.8.9.1", 1, true)]
    [InlineData("tcp://localhost:0", "tcp", "localhost", 0, true)]
    [InlineData("tcp://10.0.0.3:65535", "tcp", "10.0.0.3", 65535, false)]
    [InlineData("tcp://decode-3.example.org:7400", "tcp", "decode-3.example.org", 7400, false)]
    [InlineData("tcp://[::1]:7400", "tcp", "::1", 7400, true)]
    [InlineData("tcp://[fe80::1%1]:7400", "tcp", "fe80::1%1", 7400, false)]
    [InlineData("tcp+tls://[2001:db8::5]:80", "tcp+tls", "2001:db8::5", 80, false)]
    [InlineData("unix:///run/kv.sock", "unix", "/run/kv.sock", 0, true)]
    [InlineData("unix://@kv:1", "unix", "@kv:1", 0, true)]
    [InlineData("shm:///run/a b.sock", "shm", "/run/a b.sock", 0, true)]
    [InlineData("loopback://any", "loopback", "any", 0, true)]
    public void Endpoints_round_trip(string text, string scheme, string host, int port, bool loopback)
    {
        Assert.True(TransportEndpoint.TryParse(text, out TransportEndpoint endpoint, out string? error), error);
        Assert.Null(error);
        Assert.Equal(new TransportEndpoint(scheme, host, port), endpoint);
        Assert.Equal(text, endpoint.ToString());
        Assert.Equal(loopback, endpoint.IsLoopback);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("tcp")]
    [InlineData("tcp://")]
    [InlineData("://host:1")]
    [InlineData("tcp:/host:1")]
    [InlineData("TCP://host:1")]
    [InlineData("t p://host:1")]
    [InlineData("tcp://host")]
    [InlineData("tcp://host:")]
    [InlineData("tcp://:80")]
    [InlineData("tcp://host:65536")]
    [InlineData("tcp://host:-1")]
    [InlineData("tcp://host:+1")]
    [InlineData("tcp://host: 1")]
    [InlineData("tcp://host:1 ")]
    [InlineData("tcp://host:99999999999999999999")]
    [InlineData("tcp://host:80/path")]
    [InlineData("tcp://user@host:80")]
    [InlineData("tcp://ho st:80")]
    [InlineData("tcp://::1:80")]
    [InlineData("tcp://[::1:80")]
    [InlineData("tcp://[]:80")]
    [InlineData("tcp://[127.0.0.1]:80")]
    [InlineData("tcp://[::1]80")]
    [InlineData("tcp://[zz]:80")]
    [InlineData("unix://")]
    [InlineData("unix://@")]
    [InlineData("unix:///")]
    [InlineData("shm://relative")]
    [InlineData("unix:///a\0b")]
    [InlineData("loopback://")]
    public void Garbage_is_refused_with_its_text(string? text)
    {
        Assert.False(TransportEndpoint.TryParse(text, out TransportEndpoint endpoint, out string? error));
        Assert.Equal(default, endpoint);
        Assert.Contains($"'{text}'", error);
    }

    [Fact]
    public void A_long_host_is_refused_and_its_message_is_short()
    {
        Assert.False(TransportEndpoint.TryParse($"tcp://{new string('a', 100_000)}:1", out _, out string? error));
        Assert.InRange(error!.Length, 1, 1000);
    }

    [Fact]
    public void A_path_has_as_many_bytes_as_the_system_takes()
    {
        Assert.True(TransportEndpoint.TryParse($"unix:///{new string('a', 106)}", out _, out _));
        Assert.False(TransportEndpoint.TryParse($"unix:///{new string('a', 107)}", out _, out string? error));
        Assert.Contains("108 bytes", error);
        Assert.False(TransportEndpoint.TryParse($"unix:///{new string('ä', 54)}", out _, out _));
    }

    [Fact]
    public void Random_text_is_never_taken_for_something_else()
    {
        const string Alphabet = "tcp:/[]0159.ahz-@% ";
        Random random = new(11);
        int parsed = 0;
        for (int i = 0; i < 200_000; i++)
        {
            string text = (i % 2 == 0 ? "tcp://" : "") + string.Concat(Enumerable.Range(0, random.Next(14)).Select(_ => Alphabet[random.Next(Alphabet.Length)]));
            if (!TransportEndpoint.TryParse(text, out TransportEndpoint endpoint, out _)) continue;
            parsed++;
            Assert.True(TransportEndpoint.TryParse(endpoint.ToString(), out TransportEndpoint again, out _), text);
            Assert.Equal(endpoint, again);
        }
        Assert.True(parsed > 100, $"{parsed} parsed");
    }
}
