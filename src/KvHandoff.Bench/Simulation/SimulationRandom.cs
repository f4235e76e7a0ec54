namespace KvHandoff.Bench.Simulation;

/// <summary>Seeded random numbers that are the same on every machine and every version of the runtime: xoshiro256**, seeded by splitmix64.</summary>
internal sealed class SimulationRandom
{
    private ulong _a, _b, _c, _d;

    internal SimulationRandom(ulong seed) => (_a, _b, _c, _d) = (Mix(ref seed), Mix(ref seed), Mix(ref seed), Mix(ref seed));

    /// <summary>Evenly between 0 and 1, never 1.</summary>
    internal double Next() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Below <paramref name="limit"/>.</summary>
    internal int Next(int limit) => (int)((NextBits() >> 32) * (ulong)limit >> 32);

    internal double Exponential(double mean) => -mean * Math.Log(1 - Next());

    internal double Normal() => Math.Sqrt(-2 * Math.Log(1 - Next())) * Math.Cos(2 * Math.PI * Next());

    internal double LogNormal(double mean, double squaredVariation)
    {
        double variance = Math.Log(1 + squaredVariation);
        return mean * Math.Exp(Math.Sqrt(variance) * Normal() - variance / 2);
    }

    /// <summary>Gamma with that mean and coefficient of variation: above 1 it comes in bursts (Marsaglia and Tsang).</summary>
    internal double Gamma(double mean, double variation)
    {
        double shape = 1 / (variation * variation), scale = mean / shape;
        // Below shape 1: a draw of shape + 1, made smaller.
        double boost = shape < 1 ? Math.Pow(1 - Next(), 1 / shape) : 1, d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / Math.Sqrt(9 * d);
        while (true)
        {
            double x = Normal(), v = 1 + c * x;
            if (v <= 0) continue;
            v = v * v * v;
            if (Math.Log(1 - Next()) < 0.5 * x * x + d - d * v + d * Math.Log(v)) return d * v * boost * scale;
        }
    }

    private ulong NextBits()
    {
        ulong result = ulong.RotateLeft(_b * 5, 7) * 9, t = _b << 17;
        _c ^= _a;
        _d ^= _b;
        _b ^= _c;
        _a ^= _d;
        _c ^= t;
        _d = ulong.RotateLeft(_d, 45);
        return result;
    }

    private static ulong Mix(ref ulong state)
    {
        ulong z = state += 0x9E37_79B9_7F4A_7C15;
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return z ^ (z >> 31);
    }
}
