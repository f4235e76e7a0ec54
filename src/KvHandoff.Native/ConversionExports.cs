using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Native;

/// <summary>Conversion and checksums of plain bytes, of any length.</summary>
static unsafe class ConversionExports
{
    const int StepBytes = 1 << 30;

    [UnmanagedCallersOnly(EntryPoint = "kvh_convert")]
    static int Convert(void* source, int from, void* destination, int to, long elements)
    {
        try
        {
            var of = (ElementType)HostStructs.RequireEnum(from, 1, 5, "from");
            var into = (ElementType)HostStructs.RequireEnum(to, 1, 5, "to");
            Check(source, elements);
            Check(destination, elements);
            int step = StepBytes / 4;
            for (long done = 0; done < elements; done += step)
            {
                int count = (int)Math.Min(step, elements - done);
                ElementConversion.Convert(new ReadOnlySpan<byte>((byte*)source + done * of.SizeBytes(), count * of.SizeBytes()), of,
                    new Span<byte>((byte*)destination + done * into.SizeBytes(), count * into.SizeBytes()), into);
            }

            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_crc32c")]
    static int Checksum(void* data, long bytes, uint* crc)
    {
        try
        {
            HostStructs.RequireNotNull(crc);
            Check(data, bytes);
            for (long done = 0; done < bytes; done += StepBytes)
                *crc = Crc32C.Append(*crc, new ReadOnlySpan<byte>((byte*)data + done, (int)Math.Min(StepBytes, bytes - done)));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "kvh_copy_crc32c")]
    static int CopyChecksum(void* source, void* destination, long bytes, uint* crc)
    {
        try
        {
            HostStructs.RequireNotNull(crc);
            Check(source, bytes);
            Check(destination, bytes);
            // Beyond the caches a copy that leaves the destination's lines out of them is faster.
            bool streaming = bytes > 16 << 20;
            for (long done = 0; done < bytes; done += StepBytes)
            {
                int count = (int)Math.Min(StepBytes, bytes - done);
                *crc = ChecksummedCopy.Append(*crc, new ReadOnlySpan<byte>((byte*)source + done, count), new Span<byte>((byte*)destination + done, count), streaming);
            }

            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Report(0, e);
        }
    }

    static void Check(void* data, long count)
    {
        if (count < 0) throw new StatusException(Status.Argument, $"A length is {count}; it must not be negative.");
        if (count > 0 && data == null) throw new StatusException(Status.Null, "Data to read or write is null.");
    }
}
