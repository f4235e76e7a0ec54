using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Diagnostics;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Fuzz;

/// <summary>
/// Damages valid bytes of every format and gives them to its parser: it has to say no or yes, never throw, and never allocate far more than it was given.
/// Checksums are made right again in half of the cases, so that the fields behind them are reached.
/// </summary>
internal static partial class ParserFuzz
{
    // A parser may copy what it reads a few times, and build its objects.
    private const long AllocationFactor = 64, AllocationBase = 2 << 20;

    /// <summary>One format: valid bytes, how to make its checksum right, and the parser.</summary>
    private sealed record Format(string Name, Func<Random, byte[]> Valid, Action<byte[]> Repair, Func<byte[], bool> Parse);

    internal static bool Run(ulong seed, TimeSpan time, Action<string> report)
    {
        using var bench = new Bench();
        var random = new Random((int)seed);
        Format[] formats = [.. Formats(bench)];
        var (tried, taken) = (new long[formats.Length], new long[formats.Length]);
        long started = Stopwatch.GetTimestamp();
        bool good = true;
        for (long n = 0; good && Stopwatch.GetElapsedTime(started) < time; n++)
        {
            int which = (int)(n % formats.Length);
            Format format = formats[which];
            byte[] bytes = format.Valid(random);
            if (n < formats.Length && !format.Parse(bytes))
            {
                report($"{format.Name}: its own valid bytes are refused");
                good = false;
            }

            bytes = Damage(bytes, random);
            if (random.Next(2) == 0) format.Repair(bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                if (format.Parse(bytes)) taken[which]++;
            }
            catch (Exception e)
            {
                report($"{format.Name}: {e.GetType().Name}: {e.Message} on {Convert.ToHexString(bytes.AsSpan(0, Math.Min(bytes.Length, 400)))}\n{e.StackTrace}");
                good = false;
            }

            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (allocated > AllocationBase + AllocationFactor * bytes.Length)
            {
                report($"{format.Name}: {allocated} bytes were allocated for {bytes.Length}: {Convert.ToHexString(bytes.AsSpan(0, Math.Min(bytes.Length, 400)))}");
                good = false;
            }

            tried[which]++;
        }

        for (int i = 0; i < formats.Length; i++) report($"{formats[i].Name}: {tried[i]} inputs, {taken[i]} of them accepted");
        return good;
    }

    /// <summary>Bits, bytes and whole numbers changed, parts cut, repeated, moved or added.</summary>
    internal static byte[] Damage(byte[] valid, Random random)
    {
        byte[] bytes = valid;
        Span<byte> number = stackalloc byte[8];
        for (int times = random.Next(1, 5); times > 0 && bytes.Length > 0; times--)
        {
            int at = random.Next(bytes.Length), count = random.Next(1, Math.Min(64, bytes.Length - at) + 1);
            switch (random.Next(8))
            {
                case 0:
                    bytes = [.. bytes];
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes = [.. bytes];
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2 or 3:
                    bytes = [.. bytes];
                    BinaryPrimitives.WriteInt64LittleEndian(number, random.Next(6) switch { 0 => 0, 1 => -1, 2 => int.MaxValue, 3 => long.MaxValue, 4 => int.MinValue, _ => random.NextInt64(1L << random.Next(1, 62)) });
                    int size = Math.Min(1 << random.Next(4), bytes.Length - at);
                    number[..size].CopyTo(bytes.AsSpan(at));
                    break;
                case 4:
                    bytes = bytes[..at];
                    break;
                case 5:
                    bytes = [.. bytes[..at], .. bytes[(at + count)..]];
                    break;
                case 6:
                    bytes = [.. bytes[..at], .. bytes.AsSpan(at, count), .. bytes[at..]];
                    break;
                default:
                    byte[] more = new byte[random.Next(1, 40)];
                    random.NextBytes(more);
                    bytes = [.. bytes, .. more];
                    break;
            }
        }

        return bytes;
    }

    private static IEnumerable<Format> Formats(Bench bench)
    {
        yield return new Format("frame header", r => FrameBytes(r)[..FrameHeader.Bytes], b => Crc(b, 92), b => FrameHeader.TryRead(b, out _) is null);
        yield return new Format("frame with its table", FrameBytes, b => Crc(b, 92), ParseFrame);
        yield return new Format("preface", r =>
        {
            byte[] bytes = new byte[ConnectionPreface.Bytes];
            (r.Next(2) == 0 ? ConnectionPreface.Control : ConnectionPreface.Data(r.Next(8), (ulong)r.NextInt64(), Guid.NewGuid())).Write(bytes);
            return bytes;
        }, b => Crc(b, 44), b => ConnectionPreface.TryRead(b, out _) is null);
        foreach (ControlMessage message in bench.Messages)
            yield return new Format(message.GetType().Name, _ => Encoded(message), RepairControl, b => ControlCodec.TryRead(b, out _) is null);
        yield return new Format("layout", r => Written(output => LayoutCodec.Write(bench.Layouts[r.Next(bench.Layouts.Length)], output)), Nothing, b => LayoutCodec.TryRead(b, out _) is null);
        yield return new Format("group", _ => bench.Group.ToBytes().Memory.ToArray(), Nothing, b => HandoffGroup.TryRead(b, out _) is null);
        yield return new Format("part of a model", _ => ShardCodec.Write(bench.Part).Memory.ToArray(), Nothing, b => ShardCodec.TryRead(b, out CachePart? _) is null);
        yield return new Format("window", _ => CacheWindow.Write(bench.Target, [bench.Shared]).Memory.ToArray(), Nothing, bench.ParseWindow);
        yield return new Format("ticket", _ => bench.Ticket, Nothing, b => HandoffTicket.TryParse(b, out _, out _));
        yield return new Format("canary", _ => bench.Canary, Nothing, b => CanaryCodec.TryRead(b, bench.Id, out _, out _));
        yield return new Format("canary states", _ => bench.CanaryStates, Nothing, b => CanaryPartialCodec.TryRead(b, out _, out _, out _) is null);
        foreach (IKvCodec codec in KvCodecs.All)
            yield return new Format($"{codec.Name} segment", _ => bench.Encode(bench.Plain, codec), Nothing, b => bench.Decode(bench.Plain, codec, b));
        yield return new Format("stored segment", _ => bench.Encode(bench.Stored, KvCodecs.Raw), Nothing, b => bench.Decode(bench.Stored, KvCodecs.Raw, b));
    }

    private static byte[] FrameBytes(Random random)
    {
        int segments = 2 * random.Next(1, 5), tokens = random.Next(1, 65);
        var entries = new SegmentEntry[segments];
        long payload = 0;
        for (int s = 0; s < segments; s++)
        {
            entries[s] = new SegmentEntry((uint)random.NextInt64(1L << 32), (uint)random.Next(1, tokens * 64));
            payload += entries[s].EncodedBytes;
        }

        byte[] bytes = new byte[FrameHeader.Bytes + segments * SegmentEntry.Bytes];
        var header = new FrameHeader
        {
            Codec = CodecId.ExponentWindow,
            ElementType = ElementType.BFloat16,
            Planes = 2,
            Tokens = tokens,
            HeadDim = 64,
            FirstHead = random.Next(8),
            HeadCount = segments / 2,
            Layer = random.Next(80),
            Granule = random.Next(2000),
            Sequence = (uint)random.Next(),
            HandoffId = Guid.NewGuid(),
            Epoch = (ulong)random.NextInt64(),
            LeaseId = (ulong)random.NextInt64(),
            SlotGeneration = (uint)random.Next(),
            PayloadBytes = (int)payload,
            TableCrc = SegmentTable.Write(entries, bytes.AsSpan(FrameHeader.Bytes)),
        };
        header.Write(bytes);
        return bytes;
    }

    private static bool ParseFrame(byte[] bytes)
    {
        if (FrameHeader.TryRead(bytes, out FrameHeader header) is not null) return false;
        // As a connection does: so many bytes as the header says, or it ends.
        int table = header.SegmentCount * SegmentEntry.Bytes;
        if (bytes.Length - FrameHeader.Bytes < table) return false;
        return SegmentTable.TryRead(header, bytes.AsSpan(FrameHeader.Bytes, table), new SegmentEntry[header.SegmentCount]) is null;
    }

    private static byte[] Encoded(ControlMessage message) => Written(output => ControlCodec.Encode(message, output));

    private static byte[] Written(Action<ArrayBufferWriter<byte>> write)
    {
        var output = new ArrayBufferWriter<byte>();
        write(output);
        return output.WrittenSpan.ToArray();
    }

    private static void Nothing(byte[] bytes)
    {
    }

    private static void Crc(byte[] bytes, int offset)
    {
        if (bytes.Length >= offset + 4) BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(offset), Crc32C.Compute(bytes.AsSpan(0, offset)));
    }

    private static void RepairControl(byte[] bytes)
    {
        if (bytes.Length < WireConstants.ControlHeaderBytes) return;
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(8), bytes.Length - WireConstants.ControlHeaderBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12), Crc32C.Append(Crc32C.Compute(bytes.AsSpan(0, 12)), bytes.AsSpan(WireConstants.ControlHeaderBytes)));
    }
}
