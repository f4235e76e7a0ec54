using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>Packing and unpacking allocate nothing, whatever the formats.</summary>
public class PackingAllocationTests
{
    [Fact]
    public void Nothing_is_allocated()
    {
        RowShape shape = RowShape.WithGap(ElementType.Float32, 9, 200, 8);
        byte[] rows = shape.Write(RowContent.Specials.Numbers(shape.Type, shape.Elements, new Random(61)));
        byte[] codes = new byte[shape.Elements];
        float[] scales = new float[200];
        float[] inverses = new float[200];
        byte[] groups = new byte[9 * 7];
        foreach (ElementType type in PackingMemory.Sources)
        {
            foreach (ElementType code in PackingMemory.CodeTypes)
            {
                Run(type, code);
                long before = GC.GetAllocatedBytesForCurrentThread();
                Run(type, code);
                Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
            }
        }

        void Run(ElementType type, ElementType code)
        {
            int stride = shape.StrideBytes;
            RowScaledPacking.Pack(rows, stride, type, 9, 200, code, ScaleType.Float32, codes, scales);
            RowScaledPacking.Unpack(codes, code, 9, 200, scales, rows, stride, type);
            FixedScalePacking.Pack(rows, stride, type, 9, 200, code, 0.5f, codes);
            FixedScalePacking.Unpack(codes, code, 9, 200, 0.5f, rows, stride, type);
            ChannelScaledPacking.AccumulateMagnitudes(rows, stride, type, 9, 200, scales);
            ChannelScaledPacking.ScalesOf(scales, code, ScaleType.BFloat16, scales, inverses);
            ChannelScaledPacking.Pack(rows, stride, type, 9, 200, code, inverses, codes);
            ChannelScaledPacking.Unpack(codes, code, 9, 200, scales, rows, stride, type);
            if (code == ElementType.Int8)
                return;
            MxPacking.Pack(rows, stride, type, 9, 200, code, MxRule.Floor, codes, groups);
            MxPacking.Unpack(codes, code, 9, 200, groups, rows, stride, type);
        }
    }
}
