namespace KvHandoff.Bench.CostModel;

/// <summary>What can stop a deployment from serving more requests per second.</summary>
internal enum LimitingResource
{
    Prefill,
    Link,
    Memory,
    Decode,
}

/// <summary>
/// Requests per second that each resource bears: prefill nodes 1/T each, the link B/S, memory C/T_d contexts, decode X/M. Throughput grows with prefill nodes until
/// the least of the other three, which names what to buy next.
/// </summary>
/// <param name="PrefillNode">Of one prefill node.</param>
/// <param name="Link">Into the decode side.</param>
/// <param name="Memory">Contexts that fit over the seconds that each stays.</param>
/// <param name="Decode">Tokens per second over tokens per request.</param>
internal readonly record struct Saturation(double PrefillNode, double Link, double Memory, double Decode)
{
    internal double Ceiling => Math.Min(Link, Math.Min(Memory, Decode));

    internal LimitingResource CeilingResource => Ceiling == Link ? LimitingResource.Link : Ceiling == Memory ? LimitingResource.Memory : LimitingResource.Decode;

    /// <summary>Prefill nodes until another resource limits; below 1 a single node is too many.</summary>
    internal double PrefillNodes => Ceiling / PrefillNode;

    internal double Throughput(double prefillNodes) => Math.Min(prefillNodes * PrefillNode, Ceiling);

    internal LimitingResource Limit(double prefillNodes) => prefillNodes * PrefillNode < Ceiling ? LimitingResource.Prefill : CeilingResource;

    /// <summary>Bears what the formula of the four rates says.</summary>
    /// <param name="prefillSeconds">Of one request on one node.</param>
    /// <param name="wireBytes">Of one request.</param>
    /// <param name="linkBytesPerSecond">Into the decode side.</param>
    /// <param name="contexts">That fit in memory at once.</param>
    /// <param name="decodeSeconds">That one request stays.</param>
    /// <param name="tokensPerSecond">Of the decode side, all requests together.</param>
    /// <param name="outputTokens">Of one request.</param>
    internal static Saturation Of(double prefillSeconds, double wireBytes, double linkBytesPerSecond, double contexts, double decodeSeconds, double tokensPerSecond, double outputTokens) =>
        new(1 / prefillSeconds, linkBytesPerSecond / wireBytes, contexts / decodeSeconds, tokensPerSecond / outputTokens);

    /// <summary>Rate matching as AIConfigurator does it: each side derated, the smaller one counts, per node.</summary>
    internal static double RateMatchedPerNode(double prefillNodes, double prefillRate, double decodeNodes, double decodeRate, double prefillShare = 0.9, double decodeShare = 0.92) =>
        Math.Min(prefillShare * prefillNodes * prefillRate, decodeShare * decodeNodes * decodeRate) / (prefillNodes + decodeNodes);
}
