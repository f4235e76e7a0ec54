namespace KvHandoff.TorchSharp;

/// <summary>What queries attend to, how logits become weights, and in which precision. The default: causal, in fp32.</summary>
/// <param name="SoftmaxScale">
/// Factor of the logits, finite and positive; 0 stands for 1 / sqrt(head dimension). MLA has to name it: there it follows from the
/// dimension before absorption (192 for DeepSeek-V3), which no tensor shows.
/// </param>
/// <param name="WindowTokens">Tokens that a query looks back on, its own included; 0 for no window.</param>
public readonly record struct TorchAttentionOptions(double SoftmaxScale = 0, int WindowTokens = 0)
{
    /// <summary>Soft cap c of the scaled logits, <c>c tanh(x / c)</c>; 0 for none.</summary>
    public double LogitCap { get; init; }

    /// <summary>
    /// Attention sinks, one logit per query head: each adds its exponential to the denominator (and to the log-sum-exp) and nothing
    /// to the output. Empty for none.
    /// </summary>
    public ReadOnlyMemory<float> Sinks { get; init; }

    /// <summary>Computes and returns fp64 instead of fp32, to tell rounding from mistakes.</summary>
    public bool DoublePrecision { get; init; }

    internal void Validate(int queryHeads)
    {
        if (!double.IsFinite(SoftmaxScale) || SoftmaxScale < 0)
            throw new ArgumentException($"The softmax scale is {SoftmaxScale}; allowed: 0 or a finite positive number.", "options");
        if (WindowTokens < 0)
            throw new ArgumentException($"The window is {WindowTokens} tokens; allowed: 0 or more.", "options");
        if (!double.IsFinite(LogitCap) || LogitCap < 0)
            throw new ArgumentException($"The logit cap is {LogitCap}; allowed: 0 or a finite positive number.", "options");
        if (Sinks.Length != 0 && Sinks.Length != queryHeads)
            throw new ArgumentException($"There are {Sinks.Length} sinks for {queryHeads} query heads; allowed: none or one each.", "options");
    }
}
