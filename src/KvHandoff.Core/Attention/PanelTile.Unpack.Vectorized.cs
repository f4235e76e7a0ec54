using System.Runtime.CompilerServices;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

static unsafe partial class PanelTile<TElement, TWidth, TMath, TVector>
{
    // Rows that are widened, and then turned, together, and how many of their dims: 2 KiB.
    const int TurnedRows = 8, TurnedDims = 64;

    // Off a multiple of 4 KiB, so that the panels of one token do not all fall into the same cache set.
    const int PanelGap = 16;

    /// <summary>From a panel of values to the next.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static nint ValuePanel(int tokens) => (nint)tokens * PanelColumns + PanelGap;

    /// <summary>
    /// Widens the rows of a tile, channel scales applied: <paramref name="keys"/> as <c>[panel][dim][tokens of the panel]</c>, where
    /// tokens behind the last are arbitrary, <paramref name="values"/> as <c>[panel][token][dims of the panel]</c>.
    /// </summary>
    static void Unpack(AttendTile* tile, float* keys, float* values)
    {
        int keyDim = tile->KeyDim, tokens = tile->Tokens;
        float* wide = stackalloc float[TurnedRows * TurnedDims];
        // The latent form of MLA: a value is the head of its key.
        bool shared = tile->Values == tile->Keys && tile->ValueStrideBytes == tile->KeyStrideBytes && tile->ValueDim <= keyDim;
        for (int panel = 0; panel < tokens; panel += PanelColumns)
        {
            int end = Math.Min(tokens, panel + PanelColumns);
            for (int d = 0; d < keyDim; d += TurnedDims)
            {
                // All tokens of a few dims: the lines of the panel are written once and whole.
                int dims = Math.Min(TurnedDims, keyDim - d);
                for (int t = panel; t < end; t += TurnedRows)
                {
                    int count = Math.Min(TurnedRows, end - t);
                    for (int i = 0; i < count; i++)
                    {
                        byte* key = tile->Keys + (t + i) * tile->KeyStrideBytes;
                        if (shared) WidenShared(key, tile, d, dims, wide + i * TurnedDims, values + (nint)(t + i) * PanelColumns);
                        else Widen(key, tile->KeyChannelScales, d, dims, wide + i * TurnedDims);
                    }

                    PanelTile.Transpose(wide, TurnedDims, dims, count, keys + (nint)panel * keyDim + (nint)d * PanelColumns + (t - panel), PanelColumns);
                }
            }
        }

        if (shared) return;
        for (int t = 0; t < tokens; t++)
            WidenValue(tile->Values + t * tile->ValueStrideBytes, tile, values + (nint)t * PanelColumns);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Widen(byte* row, float* channelScales, nint first, nint count, float* wide)
    {
        for (nint d = 0; d < count; d += TWidth.Lanes) Store(Scaled(Element(row, first + d), channelScales, first + d), wide + d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void WidenValue(byte* row, AttendTile* tile, float* value)
    {
        nint panel = ValuePanel(tile->Tokens), dim = tile->ValueDim;
        float* scales = tile->ValueChannelScales;
        for (nint d = 0; d < dim; d += PanelColumns, value += panel)
        {
            Store(Scaled(Element(row, d), scales, d), value);
            if (d + TWidth.Lanes < dim) Store(Scaled(Element(row, d + TWidth.Lanes), scales, d + TWidth.Lanes), value + TWidth.Lanes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void WidenShared(byte* row, AttendTile* tile, nint first, nint count, float* wide, float* value)
    {
        nint panel = ValuePanel(tile->Tokens), valueDim = tile->ValueDim;
        float* keyScales = tile->KeyChannelScales, valueScales = tile->ValueChannelScales;
        value += first / PanelColumns * panel;
        for (nint d = first, end = first + count; d < end; value += panel)
        {
            // The two vectors of a panel.
            for (nint half = 0; half < PanelColumns && d < end; half += TWidth.Lanes, d += TWidth.Lanes)
            {
                TVector element = Element(row, d);
                Store(Scaled(element, keyScales, d), wide + (d - first));
                if (d < valueDim) Store(Scaled(element, valueScales, d), value + half);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Element(byte* row, nint index) => TElement.Load<TWidth, TVector>(ref *row, (nuint)(index * TElement.SizeBytes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Scaled(TVector value, float* scales, nint index) => scales == null ? value : TWidth.MultiplySingle(value, Load(scales + index));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TVector Load(float* at) => TWidth.Load32(ref *(byte*)at, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Store(TVector value, float* at) => TWidth.Store32(value, ref *(byte*)at, 0);
}
