using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>Keys as fp32, however they are stored.</summary>
internal static class CanaryRows
{
    internal static void Read(in KvLayerView view, int head, int token, Span<float> rows) =>
        StoredRows.Unpack(view, head, KvPlane.Key, token, new RowRuns(MemoryMarshal.AsBytes(rows), view.Group.HeadDim * sizeof(float)), ElementType.Float32);
}
