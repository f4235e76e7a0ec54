using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Memory;

namespace KvHandoff.Bench.Limits;

/// <summary>
/// What this machine's memory gives one thread: copying and reading buffers far larger than its caches, filled with noise.
/// </summary>
internal static class MemoryLimits
{
    /// <summary>Size of each buffer: several times the last-level cache of one core complex.</summary>
    internal const int BufferBytes = 256 << 20;

    private const int WarmUps = 1;

    /// <summary>Copy samples in GB/s (1e9 bytes; each byte counted once).</summary>
    internal static double[] Copy(int samples)
    {
        using NativeSlab source = NativeSlab.Allocate(BufferBytes), target = NativeSlab.Allocate(BufferBytes);
        FillWithNoise(source.Span(0, BufferBytes));
        return Sample(samples, () => source.Span(0, BufferBytes).CopyTo(target.Span(0, BufferBytes)));
    }

    /// <summary>Read samples in GB/s: every byte is added up, nothing is written.</summary>
    internal static double[] Read(int samples)
    {
        using NativeSlab source = NativeSlab.Allocate(BufferBytes);
        FillWithNoise(source.Span(0, BufferBytes));
        ulong sum = 0;
        double[] result = Sample(samples, () => sum += Sum(source.Span(0, BufferBytes)));
        GC.KeepAlive(sum);
        return result;
    }

    /// <summary>Adds up the bytes as 64-bit words, with enough additions in flight to be bound by memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static ulong Sum(ReadOnlySpan<byte> bytes)
    {
        ReadOnlySpan<Vector<ulong>> words = MemoryMarshal.Cast<byte, Vector<ulong>>(bytes);
        Vector<ulong> a = default, b = default, c = default, d = default;
        int i = 0;
        for (; i + 4 <= words.Length; i += 4)
        {
            a += words[i];
            b += words[i + 1];
            c += words[i + 2];
            d += words[i + 3];
        }

        for (; i < words.Length; i++) a += words[i];
        ulong sum = Vector.Sum(a + b + c + d);
        foreach (byte rest in bytes[(words.Length * Vector<byte>.Count)..]) sum += rest;
        return sum;
    }

    /// <summary>Writes noise that no compression, deduplication or zero page can make cheaper.</summary>
    internal static void FillWithNoise(Span<byte> bytes)
    {
        var random = new SplitMix64(0x4B56);
        foreach (ref ulong word in MemoryMarshal.Cast<byte, ulong>(bytes)) word = random.Next();
    }

    private static double[] Sample(int samples, Action action)
    {
        for (int i = 0; i < WarmUps; i++) action();
        var result = new double[samples];
        for (int i = 0; i < samples; i++)
        {
            long start = Stopwatch.GetTimestamp();
            action();
            result[i] = BufferBytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
        }

        return result;
    }
}
