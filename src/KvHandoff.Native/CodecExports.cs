using System.Runtime.InteropServices;
using KvHandoff.Codec;
using KvHandoff.Layout;

namespace KvHandoff.Native;

/// <summary>Codecs of single segments, for engines that move the bytes themselves.</summary>
static unsafe class CodecExports
{
    const int Auto = 254, AutoLossy = 255;

    [UnmanagedCallersOnly(EntryPoint = "kvh_codec_max_bytes")]
    static int MaxBytes(KvhSegment* segment, long* bytes)
    {
        try
        {
            HostStructs.RequireNotNull(bytes);
            (IKvCodec codec, SegmentShape shape) = Read(segment);
            *bytes = codec.MaxEncodedBytes(shape);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_codec_encode")]
    static int Encode(KvhSegment* segment, void* rows, void* encoded, long capacity, long* bytes, uint* flags)
    {
        try
        {
            HostStructs.RequireNotNull(rows);
            HostStructs.RequireNotNull(encoded);
            HostStructs.RequireNotNull(bytes);
            (IKvCodec codec, SegmentShape shape) = Read(segment);
            *bytes = codec.MaxEncodedBytes(shape);
            if (capacity < *bytes) throw new StatusException(Status.Buffer, $"capacity is {capacity}; the codec may write {*bytes} bytes.");
            int room = (int)Math.Min(capacity, int.MaxValue);
            *bytes = codec.Encode(shape, new Span<byte>(rows, shape.RowsBytes), new Span<byte>(encoded, room), out CodecFlags met);
            if (flags != null) *flags = (uint)met;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_codec_decode")]
    static int Decode(KvhSegment* segment, void* encoded, long bytes, void* rows)
    {
        try
        {
            HostStructs.RequireNotNull(rows);
            HostStructs.RequireRange(bytes, 0, int.MaxValue, "bytes");
            if (bytes > 0) HostStructs.RequireNotNull(encoded);
            (IKvCodec codec, SegmentShape shape) = Read(segment);
            return codec.TryDecode(shape, new ReadOnlySpan<byte>(encoded, (int)bytes), new Span<byte>(rows, shape.RowsBytes), out string? error)
                ? Status.Ok
                : throw new StatusException(Status.Corrupt, error!);
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    /// <summary>The codec of an offer; null for the default. The C constants are one above the wire's, so that zero can mean the default.</summary>
    internal static CodecId? OfferedId(int codec) => codec switch
    {
        0 => null,
        Auto => CodecId.Auto,
        AutoLossy => CodecId.AutoLossy,
        _ => (CodecId)(HostStructs.RequireEnum(codec, 1, 6, "codec") - 1),
    };

    static (IKvCodec Codec, SegmentShape Shape) Read(KvhSegment* segment)
    {
        KvhSegment s = HostStructs.Read(segment);
        CodecId id = (CodecId)(HostStructs.RequireEnum(s.Codec == 0 ? 1 : s.Codec, 1, 6, "codec") - 1);
        HostStructs.RequireEnum(s.Plane, 0, 1, "plane");
        var shape = new SegmentShape(s.Tokens, s.HeadDim, LayoutExports.ElementOf(s.Element), (KvPlane)s.Plane);
        if (shape.Check() is { } wrong) throw new StatusException(Status.Argument, wrong);
        KvCodecs.TryGet(id, out IKvCodec? codec);
        return codec!.Supports(shape.ElementType) ? (codec, shape) : throw new StatusException(Status.Unsupported, $"Codec {codec.Name} does not take elements of type {shape.ElementType}.");
    }
}
