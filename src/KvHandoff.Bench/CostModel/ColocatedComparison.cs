namespace KvHandoff.Bench.CostModel;

/// <summary>One request through one deployment, alone: what its user waits for.</summary>
/// <param name="PrefillSeconds">To compute the prompt.</param>
/// <param name="ExposedSeconds">Of the handoff; 0 where there is none.</param>
/// <param name="TokenSeconds">Per output token.</param>
internal readonly record struct ServedRequest(double PrefillSeconds, double ExposedSeconds, double TokenSeconds)
{
    internal double FirstTokenSeconds => PrefillSeconds + ExposedSeconds;

    internal double Seconds(double outputTokens) => FirstTokenSeconds + outputTokens * TokenSeconds;
}

/// <summary>Disaggregated against colocated: latency pays iff E + queueing is less than what prefill and M tokens save.</summary>
internal static class ColocatedComparison
{
    /// <summary>Output tokens from which the disaggregated request ends first; infinite if never, 0 if always.</summary>
    internal static double BreakEvenTokens(ServedRequest disaggregated, ServedRequest colocated, double extraQueueSeconds = 0)
    {
        double loss = disaggregated.FirstTokenSeconds + extraQueueSeconds - colocated.FirstTokenSeconds, gain = colocated.TokenSeconds - disaggregated.TokenSeconds;
        if (loss <= 0) return gain >= 0 ? 0 : double.NaN;
        return gain > 0 ? loss / gain : double.PositiveInfinity;
    }

    /// <summary>The handoff as the reader of the answer sees it: tokens that the decoder could have made in that time.</summary>
    internal static double HandoffTokens(double exposedSeconds, double tokenSeconds) => exposedSeconds / tokenSeconds;

    /// <summary>Requests per second of a node that does both in turns: its time goes to prefill, and to its share of full decode batches.</summary>
    internal static double ColocatedThroughput(double prefillSeconds, double decodeRequestsPerSecond) => decodeRequestsPerSecond <= 0 ? 0 : 1 / (prefillSeconds + 1 / decodeRequestsPerSecond);

    /// <summary>Requests per second that a decode engine gains by prefilling no more: 1 + T_p / T_d.</summary>
    internal static double CapacityGain(double prefillSeconds, double decodeSeconds) => 1 + prefillSeconds / decodeSeconds;

    /// <summary>Prompt tokens per output token at which that gain is reached.</summary>
    internal static double PromptPerOutputFor(double gain, double prefillTokensPerSecond, double decodeTokensPerSecond) => (gain - 1) * prefillTokensPerSecond / decodeTokensPerSecond;
}
