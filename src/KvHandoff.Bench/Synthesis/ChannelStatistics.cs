namespace KvHandoff.Bench.Synthesis;

/// <summary>
/// Per-channel scale and the random state of one (layer, kv head, K|V). Scales are log-normal over channels; a few key channels are
/// outliers, as rotary embeddings and attention sinks make them in trained models.
/// </summary>
internal sealed class ChannelStatistics
{
    /// <summary>Standard deviation of ln(scale) over channels.</summary>
    internal const double LogScaleDeviation = 0.6;

    /// <summary>Key channels per head whose scale is raised.</summary>
    internal const int KeyOutlierChannels = 3;

    private const double OutlierLow = 8, OutlierHigh = 24;
    private const int Lanes = 16;

    internal ChannelStatistics(ulong seed, int layer, int head, bool isKey, int channels)
    {
        int padded = (channels + Lanes - 1) / Lanes * Lanes;
        Scales = new float[padded];
        NoiseState = new uint[padded];
        var random = new SplitMix64(seed ^ ((ulong)layer << 40) ^ ((ulong)head << 20) ^ (isKey ? 0x9E37UL : 0x79B9UL));
        double typical = isKey ? 1.4 : 0.35;
        for (int c = 0; c < padded; c++)
        {
            Scales[c] = (float)(typical * Math.Exp(LogScaleDeviation * random.NextGaussian()));
            NoiseState[c] = (uint)random.Next() | 1;
        }

        if (!isKey) return;
        for (int i = 0; i < KeyOutlierChannels; i++)
            Scales[(int)(random.Next() % (ulong)channels)] *= (float)(OutlierLow + (OutlierHigh - OutlierLow) * random.NextDouble());
    }

    /// <summary>Scale of each channel, padded to whole vectors.</summary>
    internal float[] Scales { get; }

    /// <summary>Start of each channel's noise.</summary>
    internal uint[] NoiseState { get; }
}

/// <summary>SplitMix64: turns a structured seed into independent numbers.</summary>
internal struct SplitMix64(ulong seed)
{
    private ulong _state = seed;

    internal ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>0 to 1, 1 excluded.</summary>
    internal double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    internal double NextGaussian() => Math.Sqrt(-2 * Math.Log(1 - NextDouble())) * Math.Cos(2 * Math.PI * NextDouble());
}
