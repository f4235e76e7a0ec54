using System.Runtime.InteropServices;

namespace KvHandoff.Native;

// Structs of kvhandoff.h, field by field; kvh_struct_layout lets a test compare the two.

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhSegment
{
    internal uint StructSize;
    internal int Codec;
    internal int Tokens;
    internal int HeadDim;
    internal int Element;
    internal int Plane;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhRows
{
    internal uint StructSize;
    internal int Element;
    internal long StrideBytes;
    internal int Rows;
    internal int RowLength;
    internal int Code;
    internal int ScaleType;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhAttention
{
    internal uint StructSize;
    internal uint Flags;
    internal int Layer;
    internal int Tokens;
    internal int QueryHeads;
    internal int QueryTokens;
    internal int LatentDim;
    internal int WindowTokens;
    internal int StartToken;
    internal int EndToken;
    internal int QueryPosition;
    internal int Weights;
    internal float SoftmaxScale;
    internal float LogitCap;
    internal float* Sinks;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhCanaryPair
{
    internal uint StructSize;
    internal int Layer;
    internal int Head;
    internal int HasSink;
    internal float* Query;
    internal float* Output;
    internal float Sink;
    internal int Reserved;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhCanary
{
    internal uint StructSize;
    internal int Seeded;
    internal KvhCanaryPair* Pairs;
    internal int PairCount;
    internal int QueryHeads;
    internal int Tokens;
    internal int LatentDim;
    internal float SoftmaxScale;
    internal float LogitCap;
}
