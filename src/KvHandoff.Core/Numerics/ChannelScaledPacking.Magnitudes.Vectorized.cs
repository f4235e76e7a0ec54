using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace KvHandoff.Numerics;

public static partial class ChannelScaledPacking
{
    /// <summary>Takes the channels that fill whole strips and returns how many that was.</summary>
    static int AccumulateVectors<TElement>(PackingRows rows, Span<float> largest, ref PackFlags flags)
        where TElement : IRowElement
    {
        int done = 0;
        if (InstructionSet.VectorBits >= 512)
            done = AccumulateLoop<TElement, Width512, Vector512<uint>>(rows, done, largest, ref flags);
        if (InstructionSet.VectorBits >= 256)
            done = AccumulateLoop<TElement, Width256, Vector256<uint>>(rows, done, largest, ref flags);
        if (InstructionSet.VectorBits >= 128)
            done = AccumulateLoop<TElement, Width128, Vector128<uint>>(rows, done, largest, ref flags);
        return done;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static int AccumulateLoop<TElement, TWidth, TVector>(PackingRows rows, int first, Span<float> largest, ref PackFlags flags)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        ref byte source = ref MemoryMarshal.GetReference(rows.Bytes);
        ref byte running = ref Unsafe.As<float, byte>(ref MemoryMarshal.GetReference(largest));
        nuint stride = (nuint)rows.StrideBytes;
        nuint step = (nuint)TWidth.Lanes * 4;
        nuint size = (nuint)TElement.SizeBytes;
        int strip = 4 * (int)step / TElement.SizeBytes;
        Unsafe.SkipInit(out StripBuffer buffer);
        ref byte strips = ref Unsafe.As<StripBuffer, byte>(ref buffer);
        int i = first;
        while (i + strip <= rows.Length)
        {
            TVector a = TWidth.Create(0);
            TVector b = a;
            TVector c = a;
            TVector d = a;
            TVector e = a;
            TVector f = a;
            TVector g = a;
            TVector h = a;
            nuint from = (nuint)i * size;
            int channels = strip;
            if (i + (2 * strip) <= rows.Length)
            {
                // Two strips at once, so that memory is read in order: all of a row of 128 BF16.
                channels = 2 * strip;
                for (int row = 0; row < rows.Count; row++, from += stride)
                {
                    a = TElement.MaxMagnitude<TWidth, TVector>(a, TWidth.Load32(ref source, from));
                    b = TElement.MaxMagnitude<TWidth, TVector>(b, TWidth.Load32(ref source, from + step));
                    c = TElement.MaxMagnitude<TWidth, TVector>(c, TWidth.Load32(ref source, from + (2 * step)));
                    d = TElement.MaxMagnitude<TWidth, TVector>(d, TWidth.Load32(ref source, from + (3 * step)));
                    e = TElement.MaxMagnitude<TWidth, TVector>(e, TWidth.Load32(ref source, from + (4 * step)));
                    f = TElement.MaxMagnitude<TWidth, TVector>(f, TWidth.Load32(ref source, from + (5 * step)));
                    g = TElement.MaxMagnitude<TWidth, TVector>(g, TWidth.Load32(ref source, from + (6 * step)));
                    h = TElement.MaxMagnitude<TWidth, TVector>(h, TWidth.Load32(ref source, from + (7 * step)));
                }

                TWidth.Store32(e, ref strips, 4 * step);
                TWidth.Store32(f, ref strips, 5 * step);
                TWidth.Store32(g, ref strips, 6 * step);
                TWidth.Store32(h, ref strips, 7 * step);
            }
            else
            {
                for (int row = 0; row < rows.Count; row++, from += stride)
                {
                    a = TElement.MaxMagnitude<TWidth, TVector>(a, TWidth.Load32(ref source, from));
                    b = TElement.MaxMagnitude<TWidth, TVector>(b, TWidth.Load32(ref source, from + step));
                    c = TElement.MaxMagnitude<TWidth, TVector>(c, TWidth.Load32(ref source, from + (2 * step)));
                    d = TElement.MaxMagnitude<TWidth, TVector>(d, TWidth.Load32(ref source, from + (3 * step)));
                }
            }

            TWidth.Store32(a, ref strips, 0);
            TWidth.Store32(b, ref strips, step);
            TWidth.Store32(c, ref strips, 2 * step);
            TWidth.Store32(d, ref strips, 3 * step);
            if (!Raise<TElement, TWidth, TVector>(ref strips, (nuint)channels, ref running, (nuint)i))
                flags |= AccumulateScalar<TElement>(rows, i, largest.Slice(i, channels));
            i += channels;
        }

        return i;
    }

    /// <summary>Raises the running magnitudes from <paramref name="first"/> on to raw ones; false, and nothing done, where one is not finite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static bool Raise<TElement, TWidth, TVector>(ref byte strips, nuint channels, ref byte running, nuint first)
        where TElement : IRowElement
        where TWidth : ISimdWidth<TVector>
        where TVector : struct
    {
        nuint size = (nuint)TElement.SizeBytes;
        TVector all = TWidth.Create(0);
        for (nuint j = 0; j < channels * size; j += (nuint)TWidth.Lanes * 4)
            all = TElement.MaxMagnitude<TWidth, TVector>(all, TWidth.Load32(ref strips, j));
        if (TElement.LargestBits<TWidth, TVector>(all) >= NarrowFloat.SingleInfinity)
            return false;

        for (nuint j = 0; j < channels; j += (nuint)TWidth.Lanes * 2)
        {
            nuint at = (first + j) * 4;
            TElement.LoadPairs<TWidth, TVector>(ref strips, j * size, out TVector even, out TVector odd);
            SingleElement.LoadPairs<TWidth, TVector>(ref running, at, out TVector runningEven, out TVector runningOdd);
            SingleElement.StorePairs<TWidth, TVector>(TWidth.Max(even, runningEven), TWidth.Max(odd, runningOdd), ref running, at);
        }

        return true;
    }

    // Raw magnitudes of two strips of the widest vectors.
    [InlineArray(8 * 16)]
    struct StripBuffer
    {
        uint first;
    }
}
