using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Native;

/// <summary>Packing kernels. A description of rows is checked once; the kernels take as many rows at once as their spans can count.</summary>
static unsafe class PackingExports
{
    [UnmanagedCallersOnly(EntryPoint = "kvh_pack_rows")]
    static int PackRows(KvhRows* shape, void* source, byte* codes, float* scales, uint* flags)
    {
        try
        {
            var rows = new HostRows(shape, source, codes, scales);
            PackFlags met = PackFlags.None;
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                met |= RowScaledPacking.Pack(part.Bytes, part.Stride, part.Element, part.Count, part.Length, part.Code, part.ScaleType, part.Codes, part.ScalesPerRow);
            if (flags != null) *flags = (uint)met;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_unpack_rows")]
    static int UnpackRows(KvhRows* shape, byte* codes, float* scales, void* destination)
    {
        try
        {
            var rows = new HostRows(shape, destination, codes, scales);
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                RowScaledPacking.Unpack(part.Codes, part.Code, part.Count, part.Length, part.ScalesPerRow, part.Bytes, part.Stride, part.Element);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_pack_channels")]
    static int PackChannels(KvhRows* shape, void* source, byte* codes, float* scales, uint* flags)
    {
        try
        {
            var rows = new HostRows(shape, source, codes, scales);
            if (rows.Length > Layout.LayerGroup.MaxHeadDim) throw new StatusException(Status.Argument, $"row_length is {rows.Length}; allowed: 1 to {Layout.LayerGroup.MaxHeadDim}.");
            Span<float> inverses = stackalloc float[rows.Length];
            rows.ScalesPerChannel.Clear();
            PackFlags met = PackFlags.None;
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                met |= ChannelScaledPacking.AccumulateMagnitudes(part.Bytes, part.Stride, part.Element, part.Count, part.Length, rows.ScalesPerChannel);
            ChannelScaledPacking.ScalesOf(rows.ScalesPerChannel, rows.Code, rows.ScaleType, rows.ScalesPerChannel, inverses);
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                ChannelScaledPacking.Pack(part.Bytes, part.Stride, part.Element, part.Count, part.Length, part.Code, inverses, part.Codes);
            if (flags != null) *flags = (uint)met;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_unpack_channels")]
    static int UnpackChannels(KvhRows* shape, byte* codes, float* scales, void* destination)
    {
        try
        {
            var rows = new HostRows(shape, destination, codes, scales);
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                ChannelScaledPacking.Unpack(part.Codes, part.Code, part.Count, part.Length, rows.ScalesPerChannel, part.Bytes, part.Stride, part.Element);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_pack_fixed")]
    static int PackFixed(KvhRows* shape, void* source, float scale, byte* codes, uint* flags)
    {
        try
        {
            var rows = new HostRows(shape, source, codes, &scale);
            PackFlags met = PackFlags.None;
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                met |= FixedScalePacking.Pack(part.Bytes, part.Stride, part.Element, part.Count, part.Length, part.Code, scale, part.Codes);
            if (flags != null) *flags = (uint)met;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_unpack_fixed")]
    static int UnpackFixed(KvhRows* shape, byte* codes, float scale, void* destination)
    {
        try
        {
            var rows = new HostRows(shape, destination, codes, &scale);
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                FixedScalePacking.Unpack(part.Codes, part.Code, part.Count, part.Length, scale, part.Bytes, part.Stride, part.Element);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_pack_mx")]
    static int PackMx(KvhRows* shape, void* source, byte* codes, byte* scales, uint* flags)
    {
        try
        {
            var rows = new HostRows(shape, source, codes, scales);
            if (rows.Code == ElementType.Int8) throw new StatusException(Status.Enum, "code is KVH_INT8; microscaling takes FP8.");
            PackFlags met = PackFlags.None;
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                met |= MxPacking.Pack(part.Bytes, part.Stride, part.Element, part.Count, part.Length, part.Code, MxRule.Ceiling, part.Codes, part.GroupScales);
            if (flags != null) *flags = (uint)met;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_unpack_mx")]
    static int UnpackMx(KvhRows* shape, byte* codes, byte* scales, void* destination)
    {
        try
        {
            var rows = new HostRows(shape, destination, codes, scales);
            if (rows.Code == ElementType.Int8) throw new StatusException(Status.Enum, "code is KVH_INT8; microscaling takes FP8.");
            for (HostRows part = rows.First(); part.Count > 0; part = rows.After(part))
                MxPacking.Unpack(part.Codes, part.Code, part.Count, part.Length, part.GroupScales, part.Bytes, part.Stride, part.Element);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }
}
