using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Attention;

static unsafe partial class PanelTile
{
    /// <summary>
    /// Turns up to eight rows of <paramref name="dim"/> numbers, <paramref name="rowStride"/> apart, into eight columns; those behind
    /// the last row repeat it.
    /// </summary>
    internal static void Transpose(float* rows, nint rowStride, int dim, int count, float* columns, nint stride)
    {
        if (Avx.IsSupported && dim % 8 == 0)
        {
            Transpose8(rows, rowStride, dim, count, columns, stride);
        }
        else if (Sse.IsSupported && dim % 4 == 0)
        {
            for (int first = 0; first < 8; first += 4)
                Transpose4(rows + Math.Min(first, count - 1) * rowStride, rowStride, dim, Math.Clamp(count - first, 1, 4), columns + first, stride);
        }
        else
        {
            for (int i = 0; i < 8; i++)
            {
                float* row = rows + Math.Min(i, count - 1) * rowStride;
                for (int d = 0; d < dim; d++) columns[d * stride + i] = row[d];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Transpose8(float* rows, nint rowStride, nint dim, int count, float* columns, nint stride)
    {
        int last = count - 1;
        float* r1 = rows + Math.Min(1, last) * rowStride, r2 = rows + Math.Min(2, last) * rowStride, r3 = rows + Math.Min(3, last) * rowStride, r4 = rows + Math.Min(4, last) * rowStride;
        float* r5 = rows + Math.Min(5, last) * rowStride, r6 = rows + Math.Min(6, last) * rowStride, r7 = rows + Math.Min(7, last) * rowStride;
        for (nint d = 0; d < dim; d += 8, columns += 8 * stride)
        {
            Vector256<float> a = Vector256.Load(rows + d), b = Vector256.Load(r1 + d), c = Vector256.Load(r2 + d), e = Vector256.Load(r3 + d);
            Vector256<float> f = Vector256.Load(r4 + d), g = Vector256.Load(r5 + d), h = Vector256.Load(r6 + d), i = Vector256.Load(r7 + d);
            Vector256<float> ab0 = Avx.UnpackLow(a, b), ab1 = Avx.UnpackHigh(a, b), ce0 = Avx.UnpackLow(c, e), ce1 = Avx.UnpackHigh(c, e);
            Vector256<float> fg0 = Avx.UnpackLow(f, g), fg1 = Avx.UnpackHigh(f, g), hi0 = Avx.UnpackLow(h, i), hi1 = Avx.UnpackHigh(h, i);
            const byte Low = 0b01_00_01_00, High = 0b11_10_11_10;
            StoreHalves(Avx.Shuffle(ab0, ce0, Low), Avx.Shuffle(fg0, hi0, Low), columns, columns + 4 * stride);
            StoreHalves(Avx.Shuffle(ab0, ce0, High), Avx.Shuffle(fg0, hi0, High), columns + stride, columns + 5 * stride);
            StoreHalves(Avx.Shuffle(ab1, ce1, Low), Avx.Shuffle(fg1, hi1, Low), columns + 2 * stride, columns + 6 * stride);
            StoreHalves(Avx.Shuffle(ab1, ce1, High), Avx.Shuffle(fg1, hi1, High), columns + 3 * stride, columns + 7 * stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void StoreHalves(Vector256<float> left, Vector256<float> right, float* lower, float* upper)
    {
        Avx.Permute2x128(left, right, 0x20).Store(lower);
        Avx.Permute2x128(left, right, 0x31).Store(upper);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Transpose4(float* rows, nint rowStride, nint dim, int count, float* columns, nint stride)
    {
        int last = count - 1;
        float* r1 = rows + Math.Min(1, last) * rowStride, r2 = rows + Math.Min(2, last) * rowStride, r3 = rows + Math.Min(3, last) * rowStride;
        for (nint d = 0; d < dim; d += 4, columns += 4 * stride)
        {
            Vector128<float> a = Vector128.Load(rows + d), b = Vector128.Load(r1 + d), c = Vector128.Load(r2 + d), e = Vector128.Load(r3 + d);
            Vector128<float> ab0 = Sse.UnpackLow(a, b), ab1 = Sse.UnpackHigh(a, b), ce0 = Sse.UnpackLow(c, e), ce1 = Sse.UnpackHigh(c, e);
            Sse.MoveLowToHigh(ab0, ce0).Store(columns);
            Sse.MoveHighToLow(ce0, ab0).Store(columns + stride);
            Sse.MoveLowToHigh(ab1, ce1).Store(columns + 2 * stride);
            Sse.MoveHighToLow(ce1, ab1).Store(columns + 3 * stride);
        }
    }
}
