using System.Runtime.InteropServices;

namespace KvHandoff.Native;

// Structs of kvhandoff.h, field by field; kvh_struct_layout lets a test compare the two.

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhModel
{
    internal uint StructSize;
    internal uint Reserved;
    internal byte* Name;
    internal byte* Revision;
    internal byte* RopeScaling;
    internal double RopeTheta;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhGroup
{
    internal uint StructSize;
    internal int Kind;
    internal int* Layers;
    internal int LayerCount;
    internal int KvHeads;
    internal int HeadDim;
    internal int BlockTokens;
    internal int WindowTokens;
    internal int Element;
    internal int KeyScales;
    internal int ValueScales;
    internal int ScaleType;
    internal int Order;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhPreset
{
    internal uint StructSize;
    internal int Engine;
    internal int Layers;
    internal int KvHeads;
    internal int HeadDim;
    internal int Element;
    internal int BlockTokens;
    internal int HeadMajor;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhLayoutInfo
{
    internal uint StructSize;
    internal int Groups;
    internal int Layers;
    internal int Reserved;
    internal long BytesPerToken;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhGeometry
{
    internal uint StructSize;
    internal int Layers;
    internal int KvHeads;
    internal int HeadDim;
    internal int BlockTokens;
    internal int Planes;
    internal long BlockBytes;
    internal long PlaneBytes;
    internal long RowBytes;
    internal long KeyOffset;
    internal long KeyHeadStride;
    internal long KeyTokenStride;
    internal long ValueOffset;
    internal long ValueHeadStride;
    internal long ValueTokenStride;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhLink
{
    internal uint StructSize;
    internal int Codec;
    internal double LatencySeconds;
    internal double BytesPerSecond;
    internal double MessagesPerSecond;
    internal double PrefillTokensPerSecond;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhEstimate
{
    internal uint StructSize;
    internal int TransferPays;
    internal long KvBytes;
    internal long WireBytes;
    internal long MaxWireBytes;
    internal long Frames;
    internal double ExpectedMs;
    internal double PessimisticMs;
    internal double RecomputeMs;
    internal double ExposedMs;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhCacheOptions
{
    internal uint StructSize;
    internal uint Flags;
    internal long Tokens;
    internal int Sequences;
    internal int Reserved;
    internal delegate* unmanaged[Cdecl]<void*, void> Released;
    internal void* ReleasedUser;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhGroupMemory
{
    internal uint StructSize;
    internal int Blocks;
    internal void* Base;
    internal long LengthBytes;
    internal long OffsetBytes;
    internal long LayerStrideBytes;
    internal long BlockStrideBytes;
    internal long ValuesOffsetBytes;
    internal void** LayerBases;
    internal void** ValueBases;
    internal int BaseCount;
    internal int Reserved;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhCacheInfo
{
    internal uint StructSize;
    internal int Reserved;
    internal long FreeTokens;
    internal long UsedBlocks;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhBlockSpan
{
    internal int* Blocks;
    internal long Count;
}

[StructLayout(LayoutKind.Sequential)]
unsafe struct KvhSequenceInfo
{
    internal uint StructSize;
    internal int Tokens;
    internal int Capacity;
    internal int Reserved;
}
