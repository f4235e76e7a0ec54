using System.Numerics;
using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Synthesis;

/// <summary>
/// The rows of one (layer, kv head, K|V), token after token. Each channel is a first-order autoregression along the tokens, so that
/// neighbouring rows resemble each other as they do in a real cache. The same seed gives the same bytes in any process on one machine.
/// </summary>
internal sealed class RowStream
{
    /// <summary>Correlation of a channel between one token and the next.</summary>
    internal const float Correlation = 0.6f;

    // The noise is the sum of two 16-bit uniforms: variance 2 * 65536^2 / 12, brought to 1 - Correlation^2 so that the rows have variance 1.
    private static readonly float NoiseGain = (float)(Math.Sqrt(1 - Correlation * (double)Correlation) / (65536 * Math.Sqrt(1 / 6.0)));

    private readonly float[] _gains;
    private readonly uint[] _noise;
    private readonly float[] _state;
    private readonly float[] _row;
    private readonly int _channels;

    internal RowStream(ulong seed, int layer, int head, bool isKey, int channels)
    {
        var statistics = new ChannelStatistics(seed, layer, head, isKey, channels);
        _channels = channels;
        _gains = statistics.Scales;
        _noise = statistics.NoiseState;
        _state = new float[_gains.Length];
        _row = new float[_gains.Length];
        // A few steps away from the all-zero start, so that the first tokens have full variance.
        for (int i = 0; i < 8; i++) Step();
    }

    /// <summary>Writes the next token's row as BF16; <paramref name="row"/> has one row's bytes.</summary>
    internal void Next(Span<byte> row)
    {
        Step();
        ElementConversion.FromSingle(_row.AsSpan(0, _channels), MemoryMarshal.Cast<byte, BFloat16>(row));
    }

    private void Step()
    {
        Span<Vector<uint>> noise = MemoryMarshal.Cast<uint, Vector<uint>>(_noise.AsSpan());
        Span<Vector<float>> state = MemoryMarshal.Cast<float, Vector<float>>(_state.AsSpan());
        Span<Vector<float>> gains = MemoryMarshal.Cast<float, Vector<float>>(_gains.AsSpan());
        Span<Vector<float>> row = MemoryMarshal.Cast<float, Vector<float>>(_row.AsSpan());
        var low = new Vector<uint>(0xFFFF);
        for (int i = 0; i < noise.Length; i++)
        {
            Vector<uint> x = noise[i];
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            noise[i] = x;
            Vector<int> sum = Vector.AsVectorInt32((x & low) + (x >> 16)) - new Vector<int>(65535);
            // Multiply, then add: a fused form would round differently where a machine lacks it.
            Vector<float> next = state[i] * Correlation + Vector.ConvertToSingle(sum) * NoiseGain;
            state[i] = next;
            row[i] = next * gains[i];
        }
    }
}
