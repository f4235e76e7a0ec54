using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace KvHandoff.Model.Kernels;

internal static unsafe partial class PanelProduct
{
    private static void Run(ReadOnlySpan<float> a, int aStride, int rows, int depth, ReadOnlySpan<float> b, int columns, Span<float> c, int cStride)
    {
        nint panelElements = (nint)depth * PanelColumns;
        fixed (float* pa = a, pb = b, pc = c)
        {
            int panel = 0, wholePanels = columns / PanelColumns, tiled = TiledRows(rows);
            // Four panels at once give a row that is in no tile the eight chains that hide the latency of the multiply-adds.
            for (; tiled < rows && panel + 4 <= wholePanels; panel += 4)
            {
                float* at = pb + panel * panelElements;
                for (int p = 0; p < 4 && tiled > 0; p++)
                    Panel(pa, aStride, tiled, at + p * panelElements, at + (p + 1) * panelElements, depth, pc + (panel + p) * PanelColumns, cStride);
                for (int r = tiled; r < rows; r++)
                    Row64(pa + (nint)r * aStride, at, depth, pc + (nint)r * cStride + panel * PanelColumns);
            }

            for (; panel < wholePanels; panel++)
                Panel(pa, aStride, rows, pb + panel * panelElements, pb + (panel + 1) * panelElements, depth, pc + panel * PanelColumns, cStride);
            if (columns % PanelColumns != 0)
                PartialPanel(pa, aStride, rows, pb + panel * panelElements, depth, pc + panel * PanelColumns, cStride, columns % PanelColumns);
        }
    }

    // Every even number from 4 on is a sum of sixes and fours.
    private static int TiledRows(int rows) => rows < SmallTileRows ? 0 : rows - rows % 2;

    // While a panel is worked on, the next one is brought to the second-level cache, in equal shares by all tiles of its rows: what one
    // tile alone asks for is more than the core keeps on its way at once. Past the last panel the next matrix lies.
    private static void Panel(float* a, nint aStride, int rows, float* b, float* ahead, int depth, float* c, nint cStride)
    {
        int tiled = TiledRows(rows), small = (TileRows - tiled % TileRows) % TileRows / 2 * SmallTileRows, r = 0;
        int tiles = (tiled - small) / TileRows + small / SmallTileRows;
        nint aheadStep = PanelColumns / Math.Max(1, tiles);
        for (; r < tiled - small; r += TileRows, ahead += depth * aheadStep)
            Tile6x16(a + r * aStride, aStride, b, ahead, aheadStep, depth, c + r * cStride, cStride);
        for (; r < tiled; r += SmallTileRows, ahead += depth * aheadStep)
            Tile4x16(a + r * aStride, aStride, b, ahead, aheadStep, depth, c + r * cStride, cStride);
        for (; r < rows; r++) Row16(a + r * aStride, b, depth, c + r * cStride);
    }

    // The last panel is padded in B but not in C.
    private static void PartialPanel(float* a, nint aStride, int rows, float* b, int depth, float* c, nint cStride, int columns)
    {
        float* whole = stackalloc float[PanelColumns];
        for (int r = 0; r < rows; r++)
        {
            float* row = c + r * cStride;
            Row16(a + r * aStride, b, depth, whole);
            for (int n = 0; n < columns; n++) row[n] = whole[n];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row16(float* a, float* b, int depth, float* c)
    {
        Vector256<float> c0 = default, c1 = default;
        for (int k = 0; k < depth; k++, b += PanelColumns)
        {
            Vector256<float> x = Vector256.Create(a[k]);
            c0 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b), c0);
            c1 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b + 8), c1);
        }

        c0.Store(c);
        c1.Store(c + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row64(float* a, float* b, int depth, float* c)
    {
        nint panelElements = (nint)depth * PanelColumns;
        float* b1 = b + panelElements, b2 = b1 + panelElements, b3 = b2 + panelElements;
        Vector256<float> c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        for (nint k = 0, at = 0; k < depth; k++, at += PanelColumns)
        {
            Vector256<float> x = Vector256.Create(a[k]);
            c0 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b + at), c0);
            c1 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b + at + 8), c1);
            c2 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b1 + at), c2);
            c3 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b1 + at + 8), c3);
            c4 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b2 + at), c4);
            c5 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b2 + at + 8), c5);
            c6 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b3 + at), c6);
            c7 = Vector256.FusedMultiplyAdd(x, Vector256.Load(b3 + at + 8), c7);
        }

        c0.Store(c);
        c1.Store(c + 8);
        c2.Store(c + 16);
        c3.Store(c + 24);
        c4.Store(c + 32);
        c5.Store(c + 40);
        c6.Store(c + 48);
        c7.Store(c + 56);
    }

    // Eight sums: no more than hide the latency, for what sixes leave.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x16(float* a, nint aStride, float* b, float* ahead, nint aheadStep, int depth, float* c, nint cStride)
    {
        float* a1 = a + aStride, a2 = a1 + aStride, a3 = a2 + aStride;
        Vector256<float> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default;
        for (nint k = 0; k < depth; k++, b += PanelColumns, ahead += aheadStep)
        {
            if (Sse.IsSupported) Sse.Prefetch1(ahead);
            Vector256<float> b0 = Vector256.Load(b), b1 = Vector256.Load(b + 8);
            Vector256<float> x = Vector256.Create(a[k]);
            c00 = Vector256.FusedMultiplyAdd(x, b0, c00);
            c01 = Vector256.FusedMultiplyAdd(x, b1, c01);
            x = Vector256.Create(a1[k]);
            c10 = Vector256.FusedMultiplyAdd(x, b0, c10);
            c11 = Vector256.FusedMultiplyAdd(x, b1, c11);
            x = Vector256.Create(a2[k]);
            c20 = Vector256.FusedMultiplyAdd(x, b0, c20);
            c21 = Vector256.FusedMultiplyAdd(x, b1, c21);
            x = Vector256.Create(a3[k]);
            c30 = Vector256.FusedMultiplyAdd(x, b0, c30);
            c31 = Vector256.FusedMultiplyAdd(x, b1, c31);
        }

        c00.Store(c);
        c01.Store(c + 8);
        c10.Store(c + cStride);
        c11.Store(c + cStride + 8);
        c20.Store(c + 2 * cStride);
        c21.Store(c + 2 * cStride + 8);
        c30.Store(c + 3 * cStride);
        c31.Store(c + 3 * cStride + 8);
    }

    // Twelve sums, two columns of B and one element of A: fifteen of the sixteen registers.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile6x16(float* a, nint aStride, float* b, float* ahead, nint aheadStep, int depth, float* c, nint cStride)
    {
        float* a1 = a + aStride, a2 = a1 + aStride, a3 = a2 + aStride, a4 = a3 + aStride, a5 = a4 + aStride;
        Vector256<float> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector256<float> c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        for (nint k = 0; k < depth; k++, b += PanelColumns, ahead += aheadStep)
        {
            if (Sse.IsSupported) Sse.Prefetch1(ahead);
            Vector256<float> b0 = Vector256.Load(b), b1 = Vector256.Load(b + 8);
            Vector256<float> x = Vector256.Create(a[k]);
            c00 = Vector256.FusedMultiplyAdd(x, b0, c00);
            c01 = Vector256.FusedMultiplyAdd(x, b1, c01);
            x = Vector256.Create(a1[k]);
            c10 = Vector256.FusedMultiplyAdd(x, b0, c10);
            c11 = Vector256.FusedMultiplyAdd(x, b1, c11);
            x = Vector256.Create(a2[k]);
            c20 = Vector256.FusedMultiplyAdd(x, b0, c20);
            c21 = Vector256.FusedMultiplyAdd(x, b1, c21);
            x = Vector256.Create(a3[k]);
            c30 = Vector256.FusedMultiplyAdd(x, b0, c30);
            c31 = Vector256.FusedMultiplyAdd(x, b1, c31);
            x = Vector256.Create(a4[k]);
            c40 = Vector256.FusedMultiplyAdd(x, b0, c40);
            c41 = Vector256.FusedMultiplyAdd(x, b1, c41);
            x = Vector256.Create(a5[k]);
            c50 = Vector256.FusedMultiplyAdd(x, b0, c50);
            c51 = Vector256.FusedMultiplyAdd(x, b1, c51);
        }

        c00.Store(c);
        c01.Store(c + 8);
        c10.Store(c + cStride);
        c11.Store(c + cStride + 8);
        c20.Store(c + 2 * cStride);
        c21.Store(c + 2 * cStride + 8);
        c30.Store(c + 3 * cStride);
        c31.Store(c + 3 * cStride + 8);
        c40.Store(c + 4 * cStride);
        c41.Store(c + 4 * cStride + 8);
        c50.Store(c + 5 * cStride);
        c51.Store(c + 5 * cStride + 8);
    }
}
