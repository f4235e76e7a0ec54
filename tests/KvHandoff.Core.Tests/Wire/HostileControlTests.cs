using System.Buffers.Binary;
using System.IO.Pipelines;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Wire;

public class HostileControlTests
{
    private const int Required = 0x8000;

    public static TheoryData<ControlMessageType> Types => [.. SampleMessages.Types];

    [Theory]
    [MemberData(nameof(Types))]
    public void Unknown_fields_are_skipped_when_optional_and_refused_when_required(ControlMessageType type)
    {
        ControlMessage sent = SampleMessages.Draw(type, new Random(13));
        byte[] body = SampleMessages.Encode(sent)[16..];
        byte[] optional = [.. body, .. HandmadeMessage.Field(100, [1, 2, 3]), .. HandmadeMessage.Field(101, [])];
        Assert.Null(ControlReader.TryRead(HandmadeMessage.Seal(type, optional), out ControlMessage? read));
        Assert.Equal(sent, read);
        byte[] required = [.. body, .. HandmadeMessage.Field(100 | Required, [1, 2, 3])];
        Assert.Equal(WireErrorCode.UnknownRequiredField, ControlReader.TryRead(HandmadeMessage.Seal(type, required), out read)?.Code);
        Assert.Null(read);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Each_field_is_mandatory_unique_in_order_and_of_its_own_size(ControlMessageType type)
    {
        byte[] body = SampleMessages.Encode(SampleMessages.Draw(type, new Random(17)))[16..];
        List<(int Tag, byte[] Value)> fields = HandmadeMessage.Fields(body);
        for (int i = 0; i < fields.Count; i++)
        {
            Assert.Equal(i + 1, fields[i].Tag & ~Required);
            Assert.Equal(WireErrorCode.MissingField, Read(type, [.. fields[..i], .. fields[(i + 1)..]])?.Code);
            Assert.Equal(WireErrorCode.BadValue, Read(type, [.. fields[..(i + 1)], fields[i], .. fields[(i + 1)..]])?.Code);
            if (i > 0) Assert.NotNull(Read(type, [.. fields[..(i - 1)], fields[i], fields[i - 1], .. fields[(i + 1)..]]));
        }

        Assert.Equal(WireErrorCode.BadValue, Read(type, [(0, []), .. fields])?.Code);
        Assert.Equal(WireErrorCode.MissingField, Read(type, [])?.Code);
        // Field 1 is an identifier, a number or a layout: never right with a byte more.
        Assert.NotNull(Read(type, [(fields[0].Tag, [.. fields[0].Value, 0xFF]), .. fields[1..]]));
    }

    [Fact]
    public void Values_out_of_range_are_refused_with_both_values_in_the_text()
    {
        var random = new Random(19);
        Check(ControlMessageType.Hello, 3, Int32(65), "is 65; allowed: 1 to 64");
        Check(ControlMessageType.Offer, 2, Int32(0), "is 0; allowed: 1 to 2097152");
        Check(ControlMessageType.Offer, 4, [9], "Codec is 9; allowed: 0 to 5, 254 or 255");
        Check(ControlMessageType.Offer, 5, Int64(-1), "is -1; allowed: 0 to 2592000000");
        Check(ControlMessageType.Reject, 2, [8], "is 8; allowed: 1 to 7");
        Check(ControlMessageType.Abort, 3, [0], "is 0; allowed: 1 to 7");
        Check(ControlMessageType.Outcome, 2, [6], "is 6; allowed: 0 to 5");
        Check(ControlMessageType.Fault, 1, [9], "is 9; allowed: 0 to 8");
        Check(ControlMessageType.Renew, 3, Int64(long.MaxValue), "is 9223372036854775807; allowed: 0 to 2592000000");
        Check(ControlMessageType.Finish, 4, Int32(-2), "is -2; allowed: -1 to 2147483647");
        Check(ControlMessageType.Committed, 3, Int64(-7), "is -7; allowed: 0 to");
        Check(ControlMessageType.Prepared, 2, Int32(512), "is 512; allowed: 0 to 511");
        Check(ControlMessageType.Prepared, 3, [2], "is 2; allowed: 0 or 1");
        Check(ControlMessageType.Decision, 2, [1], "is 1; allowed: 2 to 4");
        Check(ControlMessageType.Fault, 2, [0xC3, 0x28], "not UTF-8");

        void Check(ControlMessageType type, int number, byte[] value, string expected)
        {
            List<(int Tag, byte[] Value)> fields = HandmadeMessage.Fields(SampleMessages.Encode(SampleMessages.Draw(type, random)).AsSpan(16));
            fields[number - 1] = (fields[number - 1].Tag, value);
            WireError? error = Read(type, fields);
            Assert.Equal(WireErrorCode.BadValue, error?.Code);
            Assert.Contains(expected, error!.Message);
        }
    }

    [Fact]
    public void Canary_states_and_the_reason_of_a_decision_stay_within_bounds()
    {
        List<(int Tag, byte[] Value)> prepared = HandmadeMessage.Fields(SampleMessages.Encode(new Prepared(Guid.NewGuid(), 1, true, "")).AsSpan(16));
        WireError? tooLong = Read(ControlMessageType.Prepared, [.. prepared, (5, new byte[WireConstants.MaxCanaryStatesBytes + 1])]);
        Assert.Equal(WireErrorCode.BadLength, tooLong?.Code);
        Assert.Contains($"has {WireConstants.MaxCanaryStatesBytes + 1} bytes; allowed: at most {WireConstants.MaxCanaryStatesBytes}", tooLong!.Message);
        Assert.Null(Read(ControlMessageType.Prepared, [.. prepared, (5, new byte[WireConstants.MaxCanaryStatesBytes])]));
        List<(int Tag, byte[] Value)> decision = HandmadeMessage.Fields(SampleMessages.Encode(new Decision(Guid.NewGuid(), HandoffOutcome.Aborted, "")).AsSpan(16));
        Assert.Contains("is 8; allowed: 1 to 7", Read(ControlMessageType.Decision, [.. decision, (4, [8])])!.Message);
        Assert.Throws<ArgumentException>(() => SampleMessages.Encode(new Prepared(Guid.NewGuid(), 1, true, "") { CanaryStates = new byte[WireConstants.MaxCanaryStatesBytes + 1] }));
    }

    [Fact]
    public void A_group_and_a_shard_come_back_equal_and_no_forgery_of_them_throws()
    {
        var random = new Random(23);
        int refused = 0;
        for (int i = 0; i < 2000; i++)
        {
            HandoffGroup group = SampleMessages.Group(random);
            byte[] bytes = group.ToBytes().Memory.ToArray();
            Assert.Null(HandoffGroup.TryRead(bytes, out HandoffGroup? read));
            Assert.Equal(group, read);
            Assert.NotNull(HandoffGroup.TryRead(bytes.AsSpan(0, random.Next(bytes.Length)), out _));
            Assert.NotNull(HandoffGroup.TryRead([.. bytes, 0], out _));
            bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
            if (HandoffGroup.TryRead(bytes, out _) is not null) refused++;
        }

        Assert.InRange(refused, 100, 2000);
    }

    [Fact]
    public void A_part_of_a_model_comes_back_equal_and_no_forgery_of_it_throws()
    {
        var random = new Random(29);
        for (int i = 0; i < 500; i++)
        {
            var part = CachePart.All(SampleMessages.Layout(random));
            byte[] bytes = ShardCodec.Write(part).Memory.ToArray();
            Assert.Null(ShardCodec.TryRead(bytes, out CachePart? read));
            Assert.Equal(part, read);
            Assert.NotNull(ShardCodec.TryRead(bytes.AsSpan(0, random.Next(bytes.Length)), out _));
            bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
            ShardCodec.TryRead(bytes, out _);
        }
    }

    [Fact]
    public void Lengths_and_counts_of_four_gigabytes_allocate_nothing_of_that_size()
    {
        byte[] id = new byte[16];
        byte[] huge = [0xFF, 0xFF, 0xFF, 0xFF];
        byte[] grantHead = [.. HandmadeMessage.Field(1 | Required, id), .. HandmadeMessage.Field(2 | Required, Int64(1)), .. HandmadeMessage.Field(3 | Required, Int64(1))];
        List<(int Tag, byte[] Value)> hello = HandmadeMessage.Fields(SampleMessages.Encode(SampleMessages.Draw(ControlMessageType.Hello, new Random(1))).AsSpan(16));
        List<(int Tag, byte[] Value)> layout = HandmadeMessage.Fields(hello[0].Value);
        layout[4] = (layout[4].Tag, [.. huge, .. layout[4].Value]);
        hello[0] = (hello[0].Tag, HandmadeMessage.Body(layout));
        byte[][] messages =
        [
            HandmadeMessage.Seal(ControlMessageType.Query, HandmadeMessage.Field(1 | Required, id), claimedLength: uint.MaxValue),
            HandmadeMessage.Seal(ControlMessageType.Finish, HandmadeMessage.Field(1 | Required, id), claimedLength: 60 << 20),
            HandmadeMessage.Seal(ControlMessageType.Query, HandmadeMessage.Field(1 | Required, id, claimedLength: uint.MaxValue)),
            HandmadeMessage.Seal(ControlMessageType.Query, HandmadeMessage.Field(1 | Required, id, claimedLength: int.MaxValue)),
            HandmadeMessage.Seal(ControlMessageType.Grant, [.. grantHead, .. HandmadeMessage.Field(4 | Required, huge)]),
            HandmadeMessage.Seal(ControlMessageType.Grant, [.. grantHead, .. HandmadeMessage.Field(4 | Required, [.. huge, 1, 0, 0, 0])]),
            HandmadeMessage.Seal(ControlMessageType.Hello, HandmadeMessage.Body(hello)),
        ];
        foreach (byte[] message in messages) ControlReader.TryRead(message, out _);
        foreach (byte[] message in messages)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            WireError? error = ControlReader.TryRead(message, out ControlMessage? read);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 * 1024);
            Assert.Null(read);
            Assert.Contains(error!.Code, (WireErrorCode[])[WireErrorCode.BadLength, WireErrorCode.Truncated]);
        }
    }

    [Fact]
    public async Task A_header_out_of_bounds_is_refused_before_its_body_comes()
    {
        var pipe = new Pipe();
        await pipe.Writer.WriteAsync(HandmadeMessage.Seal(ControlMessageType.Hello, [], claimedLength: 60 << 20));
        ControlReadResult result = await ControlReader.ReadAsync(pipe.Reader).AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(WireErrorCode.BadLength, result.Error?.Code);
    }

    [Fact]
    public void A_layout_whose_blocks_overflow_their_offsets_is_refused()
    {
        List<(int Tag, byte[] Value)> group =
        [
            (1, [1]), (2, [0, 0]), (3, Int32(1024)), (4, Int32(4096)), (5, Int32(256)), (6, Int32(0)), (7, [1]), (8, [0]), (9, [1]),
        ];
        byte[] groupBytes = HandmadeMessage.Body(group);
        byte[] layout = HandmadeMessage.Body([(1, "m"u8.ToArray()), (2, "r"u8.ToArray()), (3, new byte[8]), (4, []), (5, [.. Int32(groupBytes.Length), .. groupBytes])]);
        WireError? error = LayoutCodec.TryRead(layout, out _);
        Assert.Equal(WireErrorCode.BadValue, error?.Code);
        Assert.Contains("8589934592", error!.Message);
    }

    [Fact]
    public void Twenty_thousand_forged_messages_raise_no_exception_and_allocate_in_proportion()
    {
        var random = new Random(20_000);
        int refused = 0, accepted = 0;
        for (int i = 0; i < 20_000; i++)
        {
            ControlMessageType type = SampleMessages.Types[i % SampleMessages.Types.Length];
            List<(int Tag, byte[] Value)> fields = HandmadeMessage.Fields(SampleMessages.Encode(SampleMessages.DrawWithOptions(type, random)).AsSpan(16));
            for (int n = random.Next(1, 4); n > 0; n--) Forge(fields, random);
            byte[] body = HandmadeMessage.Body(fields);
            if (random.Next(4) == 0 && body.Length > 6) BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(random.Next(body.Length - 3)), Length(random));
            byte[] bytes = HandmadeMessage.Seal(type, body);
            long before = GC.GetAllocatedBytesForCurrentThread();
            WireError? error = ControlReader.TryRead(bytes, out ControlMessage? read);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 * 1024 + 16L * bytes.Length);
            Assert.True(error is null != read is null);
            if (read is null)
            {
                Assert.NotEqual(WireErrorCode.BadChecksum, error!.Code);
                refused++;
                continue;
            }

            // What is accepted is a message like any other: it can be written and read again.
            Assert.Null(ControlReader.TryRead(SampleMessages.Encode(read), out ControlMessage? again));
            Assert.Equal(read, again);
            accepted++;
        }

        Assert.InRange(refused, 5_000, 19_000);
        Assert.InRange(accepted, 1_000, 15_000);
    }

    private static void Forge(List<(int Tag, byte[] Value)> fields, Random random)
    {
        int at = random.Next(fields.Count);
        (int tag, byte[] value) = fields[at];
        switch (random.Next(9))
        {
            case 0: fields[at] = (random.Next(0x10000), value); break;
            case 1: fields.Insert(at, (tag, value)); break;
            case 2 when fields.Count > 1: fields.RemoveAt(at); break;
            case 3: fields[at] = (tag, value[..random.Next(value.Length + 1)]); break;
            case 4: fields[at] = (tag, [.. value, .. new byte[random.Next(1, 9)]]); break;
            case 5: fields.Add((random.Next(20, 0x8000), value)); break;
            case 6: fields[at] = (tag ^ 0x8000, value); break;
            case 7 when value.Length >= 4: BinaryPrimitives.WriteUInt32LittleEndian(value.AsSpan(random.Next(value.Length - 3)), Length(random)); break;
            default:
                if (value.Length > 0) value[random.Next(value.Length)] = (byte)random.Next(256);
                break;
        }
    }

    private static uint Length(Random random) => random.Next(4) switch
    {
        0 => uint.MaxValue - (uint)random.Next(8),
        1 => (uint)int.MaxValue + (uint)random.Next(3),
        2 => (uint)random.Next(64),
        _ => (uint)random.NextInt64(1L << 32),
    };

    private static WireError? Read(ControlMessageType type, List<(int Tag, byte[] Value)> fields)
    {
        WireError? error = ControlReader.TryRead(HandmadeMessage.Seal(type, HandmadeMessage.Body(fields)), out ControlMessage? message);
        Assert.True(error is null != message is null);
        return error;
    }

    private static byte[] Int32(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        return bytes;
    }

    private static byte[] Int64(long value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        return bytes;
    }
}
