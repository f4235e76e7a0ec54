namespace KvHandoff.Core.Tests.Transport;

/// <summary>Two processes in two network namespaces: nothing but a wire between them, as between two hosts.</summary>
public sealed class UcxNamespacesTests
{
    // Two blocks and a part of a third, of 80 layers.
    private const int Tokens = 130;
    private const long KvBytes = 80L * 2 * 8 * 128 * 2 * Tokens;

    [UcxNamespacesFact]
    public void A_cache_of_a_70B_model_crosses_the_wire_as_it_was()
    {
        (int code, string output, string errors) = NetworkNamespaces.Run($"ucx://{NetworkNamespaces.Far}:7471", Tokens);
        Assert.True(code == 0, $"Exit code {code}. {output}{errors}");
        string sent = LineOf(output, "sent "), landed = LineOf(output, "landed ");
        Assert.Equal(64, sent.Length);
        Assert.Equal(sent, landed);
        Assert.Equal(KvBytes, long.Parse(LineOf(output, "bytes ")));
        // Over the wire, and by nothing else.
        Assert.Contains("(tcp/kvh0)", LineOf(output, "path "));
    }

    private static string LineOf(string output, string begins) =>
        output.Split('\n').Single(l => l.StartsWith(begins, StringComparison.Ordinal))[begins.Length..].Trim();
}
