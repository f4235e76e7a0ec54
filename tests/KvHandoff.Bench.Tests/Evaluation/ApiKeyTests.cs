using KvHandoff.Bench.Evaluation;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Tests.Commands;

namespace KvHandoff.Bench.Tests.Evaluation;

/// <summary>Where a key comes from, and that it is shown nowhere.</summary>
public sealed class ApiKeyTests
{
    private static readonly EndpointAddress Local = EndpointAddress.Parse("http://127.0.0.1:8080"), Cerebras = EndpointAddress.Parse("https://api.cerebras.ai"), OpenAi = EndpointAddress.Parse("https://api.openai.com/v1");

    [Fact]
    public void TheEnvironmentGoesBeforeTheFile()
    {
        using var scratch = new Scratch();
        File.WriteAllText(scratch.File(".env"), "# keys\nexport CEREBRAS_API_KEY=\"from-file\" # mine\nOPENAI_API_KEY = 'other' \nEMPTY=\nMY_KEY=plain # comment\n");
        ApiKey Find(string? variable, EndpointAddress endpoint, params (string, string)[] environment) => ApiKey.Find(variable, endpoint, scratch.FullName, name => environment.FirstOrDefault(e => e.Item1 == name).Item2)!;
        Assert.Equal("Bearer from-file", Find(null, Local).Header);
        Assert.Equal("Bearer own", Find(null, Local, ("CEREBRAS_API_KEY", "own")).Header);
        Assert.Equal("Bearer from-file", Find(null, Cerebras, ("OPENAI_API_KEY", "own")).Header);
        // The vendor's own key goes first.
        Assert.Equal(("Bearer other", "OPENAI_API_KEY"), (Find(null, OpenAi).Header, Find(null, OpenAi).Variable));
        Assert.Equal("Bearer plain", Find("MY_KEY", Local).Header);
        Assert.Contains("'EMPTY' is not set", Assert.Throws<InvalidDataException>(() => Find("EMPTY", Local)).Message);
    }

    [Fact]
    public void NoKeyIsNoErrorUnlessOneWasNamed()
    {
        using var scratch = new Scratch();
        Assert.Null(ApiKey.Find(null, Local, scratch.FullName, _ => null));
        Assert.Throws<InvalidDataException>(() => ApiKey.Find("X", Local, scratch.FullName, _ => null));
    }

    [Fact]
    public void AKeyDoesNotLeaveUnencryptedAndIsShownNowhere()
    {
        using var scratch = new Scratch();
        string message = Assert.Throws<InvalidDataException>(() => ApiKey.Find(null, EndpointAddress.Parse("http://example.com"), scratch.FullName, _ => "secret-text")).Message;
        Assert.Contains("unencrypted", message);
        Assert.DoesNotContain("secret-text", message);
        Assert.DoesNotContain("bad secret", Assert.Throws<InvalidDataException>(() => ApiKey.Find(null, Local, scratch.FullName, _ => "bad secret\u00e9")).Message);
        ApiKey key = ApiKey.Find(null, Local, scratch.FullName, _ => "secret-text")!;
        Assert.DoesNotContain("secret-text", key.ToString());
        Assert.DoesNotContain("secret-text", $"{key} {System.Text.Json.JsonSerializer.Serialize(new { key.Variable })}");
        Assert.Equal("Invalid key *** given", key.Hide("Invalid key secret-text given"));
    }

    [Theory]
    [InlineData("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/chat/completions")]
    [InlineData("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1/chat/completions")]
    [InlineData("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions")]
    [InlineData("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions")]
    [InlineData("https://host/openai", "https://host/openai/v1/chat/completions")]
    public void AddressesAreTakenWithAndWithoutVersion(string text, string expected) => Assert.Equal(expected, EndpointAddress.Parse(text).ChatCompletions.AbsoluteUri);

    [Theory]
    [InlineData("127.0.0.1:8080")]
    [InlineData("ftp://host")]
    [InlineData("")]
    [InlineData("https://user:pass-word@host")]
    [InlineData("https://host/v1?key=pass-word")]
    public void OtherAddressesAreRefusedWithoutTheirSecrets(string text)
    {
        string message = Assert.Throws<InvalidDataException>(() => EndpointAddress.Parse(text)).Message;
        Assert.StartsWith("--endpoint:", message);
        Assert.DoesNotContain("pass-word", message);
    }
}
