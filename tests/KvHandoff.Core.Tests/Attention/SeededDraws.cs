namespace KvHandoff.Tests.Attention;

/// <summary>SplitMix64: a seeded sequence that is the same everywhere and costs a nanosecond a number.</summary>
sealed class SeededDraws(int seed)
{
    ulong _state = (ulong)(uint)seed * 0xD1B54A32D192ED03 + 1;

    public ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>0 to <paramref name="end"/> - 1.</summary>
    public int Below(int end) => (int)(Next() % (ulong)end);

    /// <summary>From 0 up to, but not including, 1.</summary>
    public double Fraction() => (Next() >> 11) * (1.0 / (1L << 53));

    /// <summary>Mean 0, variance 1, magnitude up to 3.5: four uniform numbers added.</summary>
    public float Normal()
    {
        ulong bits = Next();
        long sum = (long)(bits & 0xFFFF) + (long)(bits >> 16 & 0xFFFF) + (long)(bits >> 32 & 0xFFFF) + (long)(bits >> 48);
        return (sum - 131070) * (1.7320508f / 65536);
    }

    public T[] Shuffled<T>(IEnumerable<T> items)
    {
        T[] all = [.. items];
        for (int i = all.Length - 1; i > 0; i--)
        {
            int j = Below(i + 1);
            (all[i], all[j]) = (all[j], all[i]);
        }

        return all;
    }
}
