using System.Buffers.Binary;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Wire;

public class FrameTests
{
    internal static (FrameHeader Header, SegmentEntry[] Entries) Draw(Random random)
    {
        CodecId id = (CodecId)random.Next(2);
        Assert.True(KvCodecs.TryGet(id, out IKvCodec? codec));
        var shape = new SegmentShape(random.Next(1, 65), random.Next(1, 257), id == CodecId.Raw ? (ElementType)random.Next(1, 7) : (ElementType)random.Next(1, 4));
        int planes = random.Next(1, 3), heads = random.Next(1, 33), each = codec.MaxEncodedBytes(shape);
        var entries = new SegmentEntry[planes * heads];
        for (int i = 0; i < entries.Length; i++) entries[i] = new SegmentEntry((uint)random.NextInt64(1L << 32), (uint)each);
        var id16 = new byte[16];
        random.NextBytes(id16);
        return (new FrameHeader
        {
            Codec = id,
            Flags = (CodecFlags)random.Next(4),
            ElementType = shape.ElementType,
            Planes = planes,
            Tokens = shape.Tokens,
            HeadDim = shape.HeadDim,
            FirstHead = random.Next(LayerGroup.MaxKvHeads - heads + 1),
            HeadCount = heads,
            Layer = random.Next(LayerGroup.MaxLayers),
            Granule = random.Next(WireConstants.MaxGranules),
            Sequence = (uint)random.NextInt64(1L << 32),
            HandoffId = new Guid(id16),
            Epoch = (ulong)random.NextInt64(),
            LeaseId = (ulong)random.NextInt64(),
            SlotGeneration = (uint)random.NextInt64(1L << 32),
            PayloadBytes = each * entries.Length,
            TableCrc = SegmentTable.Write(entries, new byte[entries.Length * SegmentEntry.Bytes]),
        }, entries);
    }

    [Fact]
    public void Headers_and_tables_come_back_equal()
    {
        var random = new Random(1);
        for (int i = 0; i < 2000; i++)
        {
            (FrameHeader header, SegmentEntry[] entries) = Draw(random);
            byte[] bytes = Bytes(header, entries);
            Assert.Null(FrameHeader.TryRead(bytes, out FrameHeader read));
            Assert.Equal(header, read);
            var table = new SegmentEntry[read.SegmentCount];
            Assert.Null(SegmentTable.TryRead(read, bytes.AsSpan(FrameHeader.Bytes), table));
            Assert.Equal(entries, table);
        }
    }

    [Fact]
    public void Cut_or_flipped_headers_and_tables_are_errors()
    {
        (FrameHeader header, SegmentEntry[] entries) = Draw(new Random(2));
        byte[] bytes = Bytes(header, entries);
        var table = new SegmentEntry[entries.Length];
        for (int length = 0; length < bytes.Length; length++) Assert.Equal(WireErrorCode.Truncated, ReadBoth(bytes.AsSpan(0, length), table)?.Code);
        for (int bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.NotNull(ReadBoth(bytes, table));
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.Null(ReadBoth(bytes, table));
    }

    [Theory]
    [InlineData(6, 1, 2)]
    [InlineData(7, 1, 4)]
    [InlineData(8, 1, 0)]
    [InlineData(8, 1, 7)]
    [InlineData(9, 1, 0)]
    [InlineData(9, 1, 3)]
    [InlineData(10, 1, 0)]
    [InlineData(10, 1, 65)]
    [InlineData(11, 1, 2)]
    [InlineData(12, 2, 0)]
    [InlineData(12, 2, 4097)]
    [InlineData(14, 2, 1024)]
    [InlineData(16, 2, 0)]
    [InlineData(16, 2, 1025)]
    [InlineData(18, 2, 1)]
    [InlineData(20, 4, 1024)]
    [InlineData(20, 4, uint.MaxValue)]
    [InlineData(24, 4, WireConstants.MaxGranules)]
    [InlineData(24, 4, uint.MaxValue)]
    [InlineData(68, 4, 0)]
    [InlineData(68, 4, WireConstants.MaxFramePayloadBytes + 1)]
    [InlineData(68, 4, uint.MaxValue)]
    [InlineData(76, 4, 1)]
    [InlineData(88, 4, 0x1000000)]
    public void A_field_out_of_range_is_refused_though_the_checksum_is_right(int offset, int size, uint value)
    {
        (FrameHeader header, SegmentEntry[] entries) = Draw(new Random(3));
        byte[] bytes = Bytes(header, entries);
        for (int i = 0; i < size; i++) bytes[offset + i] = (byte)(value >> (8 * i));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(92), Crc32C.Compute(bytes.AsSpan(0, 92)));
        WireError? error = FrameHeader.TryRead(bytes, out FrameHeader read);
        Assert.Contains(error!.Code, (WireErrorCode[])[WireErrorCode.BadValue, WireErrorCode.BadLength]);
        Assert.Equal(default, read);
    }

    [Fact]
    public void Twenty_thousand_forged_headers_never_pass_a_bound()
    {
        var random = new Random(4);
        int accepted = 0;
        var entries = new SegmentEntry[2 * LayerGroup.MaxKvHeads];
        for (int i = 0; i < 20_000; i++)
        {
            (FrameHeader header, SegmentEntry[] own) = Draw(random);
            byte[] bytes = Bytes(header, own);
            for (int n = random.Next(1, 3); n > 0; n--) bytes[random.Next(6, 92)] = (byte)random.Next(random.Next(2) == 0 ? 256 : 4);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(92), Crc32C.Compute(bytes.AsSpan(0, 92)));
            if (FrameHeader.TryRead(bytes, out FrameHeader read) is not null) continue;
            accepted++;
            Assert.Null(read.Check());
            Assert.InRange(read.PayloadBytes, 1, WireConstants.MaxFramePayloadBytes);
            SegmentTable.TryRead(read, bytes.AsSpan(FrameHeader.Bytes), entries);
        }

        Assert.InRange(accepted, 1_000, 19_000);
    }

    [Fact]
    public void Segments_that_do_not_add_up_to_the_payload_are_refused()
    {
        SegmentEntry[] entries = [new(1, 0x8000_0000), new(2, 0x8000_0001), new(3, 100), new(4, 100)];
        (FrameHeader header, _) = Draw(new Random(5));
        header = header with
        {
            Codec = CodecId.Fp8E4M3,
            ElementType = ElementType.BFloat16,
            Planes = 2,
            HeadCount = 2,
            FirstHead = 0,
            Tokens = 10,
            HeadDim = 10,
            PayloadBytes = 401,
        };
        foreach (SegmentEntry[] wrong in (SegmentEntry[][])[entries, [new(1, 140), new(1, 140), new(1, 140), new(1, 0)], [new(1, 100), new(2, 100), new(3, 100), new(4, 100)]])
        {
            var table = new byte[header.TableBytes];
            FrameHeader forged = header with { TableCrc = SegmentTable.Write(wrong, table) };
            Assert.Equal(WireErrorCode.BadLength, SegmentTable.TryRead(forged, table, new SegmentEntry[4])?.Code);
        }
    }

    [Fact]
    public void A_header_out_of_range_is_not_written()
    {
        (FrameHeader header, _) = Draw(new Random(6));
        Assert.Throws<ArgumentException>(() => (header with { Tokens = 65 }).Write(new byte[FrameHeader.Bytes]));
        Assert.Throws<ArgumentException>(() => header.Write(new byte[FrameHeader.Bytes - 1]));
    }

    [Fact]
    public void Writing_and_reading_a_frame_allocates_nothing()
    {
        (FrameHeader header, SegmentEntry[] entries) = Draw(new Random(7));
        var bytes = new byte[FrameHeader.Bytes + header.TableBytes];
        var table = new SegmentEntry[entries.Length];
        for (int i = 0; i < 50; i++) Once();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) Once();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Once()
        {
            SegmentTable.Write(entries, bytes.AsSpan(FrameHeader.Bytes));
            header.Write(bytes);
            if (ReadBoth(bytes, table) is { } error) throw new InvalidOperationException(error.Message);
        }
    }

    [Fact]
    public void Prefaces_come_back_and_damage_is_an_error()
    {
        var random = new Random(8);
        for (int i = 0; i < 20; i++)
        {
            ConnectionPreface preface = i == 0 ? ConnectionPreface.Control : ConnectionPreface.Data(random.Next(64), (ulong)random.NextInt64(), Guid.NewGuid());
            var bytes = new byte[ConnectionPreface.Bytes];
            preface.Write(bytes);
            Assert.Null(ConnectionPreface.TryRead(bytes, out ConnectionPreface read));
            Assert.Equal(preface, read);
            for (int length = 0; length < bytes.Length; length++)
                Assert.Equal(WireErrorCode.Truncated, ConnectionPreface.TryRead(bytes.AsSpan(0, length), out _)?.Code);
            for (int bit = 0; bit < bytes.Length * 8; bit++)
            {
                bytes[bit / 8] ^= (byte)(1 << (bit % 8));
                Assert.NotNull(ConnectionPreface.TryRead(bytes, out _));
                bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            }
        }

        foreach (int offset in (int[])[6, 7, 8, 10, 12, 16, 24, 40])
        {
            var bytes = new byte[ConnectionPreface.Bytes];
            ConnectionPreface.Control.Write(bytes);
            bytes[offset] = 3;
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(44), Crc32C.Compute(bytes.AsSpan(0, 44)));
            Assert.Equal(WireErrorCode.BadValue, ConnectionPreface.TryRead(bytes, out _)?.Code);
        }

        Assert.Equal(WireErrorCode.BadMagic, ConnectionPreface.TryRead("GET / HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n"u8, out _)?.Code);
    }

    internal static byte[] Bytes(in FrameHeader header, SegmentEntry[] entries)
    {
        var bytes = new byte[FrameHeader.Bytes + header.TableBytes];
        header.Write(bytes);
        SegmentTable.Write(entries, bytes.AsSpan(FrameHeader.Bytes));
        return bytes;
    }

    private static WireError? ReadBoth(ReadOnlySpan<byte> bytes, SegmentEntry[] entries) =>
        FrameHeader.TryRead(bytes, out FrameHeader header)
        ?? (header.SegmentCount > entries.Length ? new WireError(WireErrorCode.BadLength, "") : SegmentTable.TryRead(header, bytes[FrameHeader.Bytes..], entries));
}
