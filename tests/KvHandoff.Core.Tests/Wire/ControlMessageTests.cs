using System.Collections.Immutable;
using System.IO.Pipelines;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Wire;

public class ControlMessageTests
{
    public static TheoryData<ControlMessageType> Types => [.. SampleMessages.Types];

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_message_comes_back_equal(ControlMessageType type)
    {
        var random = new Random(100 + (int)type);
        for (int i = 0; i < 200; i++)
        {
            ControlMessage sent = SampleMessages.DrawWithOptions(type, random);
            byte[] bytes = SampleMessages.Encode(sent);
            Assert.Null(ControlReader.TryRead(bytes, out ControlMessage? read));
            Assert.Equal(sent, read);
            Assert.Equal(sent.GetHashCode(), read!.GetHashCode());
            Assert.Equal(bytes, SampleMessages.Encode(read));
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void A_message_cut_at_any_byte_is_truncated(ControlMessageType type)
    {
        byte[] bytes = SampleMessages.Encode(SampleMessages.Draw(type, new Random(7 * (int)type)));
        for (int length = 0; length < bytes.Length; length++)
        {
            WireError? error = ControlReader.TryRead(bytes.AsSpan(0, length), out ControlMessage? message);
            Assert.Null(message);
            Assert.Equal(WireErrorCode.Truncated, error?.Code);
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Any_flipped_bit_is_an_error(ControlMessageType type)
    {
        byte[] bytes = SampleMessages.Encode(SampleMessages.Draw(type, new Random(11 * (int)type)));
        for (int bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            WireError? error = ControlReader.TryRead(bytes, out ControlMessage? message);
            Assert.Null(message);
            Assert.NotNull(error);
            Assert.NotEqual(WireErrorCode.None, error.Code);
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void A_manifest_compares_by_content()
    {
        var one = new HandoffManifest([1, 2, 3], 3, 9, new byte[] { 1, 2 }, new byte[] { 3 });
        Assert.Equal(one, new HandoffManifest([1, 2, 3], 3, 9, new byte[] { 1, 2 }, new byte[] { 3 }));
        Assert.NotEqual(one, one with { TokenIds = [1, 2, 4] });
        Assert.NotEqual(one, one with { SamplerState = new byte[] { 1, 3 } });
        Assert.NotEqual(one, one with { HostMetadata = new byte[] { 4 } });
        Assert.NotEqual(one, one with { FirstToken = -1 });
        Assert.Equal(new HandoffManifest(default, 0), new HandoffManifest([], 0));
    }

    [Theory]
    [InlineData(-1, 0, 0, 0)]
    [InlineData(WireConstants.MaxTokens + 1, 0, 0, 0)]
    [InlineData(0, -2, 0, 0)]
    [InlineData(0, 0, WireConstants.MaxSamplerStateBytes + 1, 0)]
    [InlineData(0, 0, 0, WireConstants.MaxMetadataBytes + 1)]
    public void A_manifest_out_of_range_is_neither_valid_nor_written(int position, int firstToken, int samplerBytes, int metadataBytes)
    {
        var manifest = new HandoffManifest([], position, firstToken, new byte[samplerBytes], new byte[metadataBytes]);
        Assert.Throws<ArgumentException>(manifest.Validate);
        Assert.Throws<ArgumentException>(() => SampleMessages.Encode(new Finish(Guid.Empty, 1, manifest)));
    }

    [Fact]
    public void A_negative_token_id_is_named() =>
        Assert.Contains("Token id 2 of the manifest is -5", Assert.Throws<ArgumentException>(new HandoffManifest([1, 2, -5], 3).Validate).Message);

    [Fact]
    public void A_long_explanation_is_cut_at_a_character_and_a_long_name_refused()
    {
        byte[] bytes = SampleMessages.Encode(new Fault(WireErrorCode.BadValue, new string('€', 1000)));
        Assert.Null(ControlReader.TryRead(bytes, out ControlMessage? read));
        Assert.Equal(new string('€', WireConstants.MaxStringBytes / 3), ((Fault)read!).Message);
        Hello hello = (Hello)SampleMessages.Draw(ControlMessageType.Hello, new Random(1));
        Assert.Throws<ArgumentException>(() => SampleMessages.Encode(hello with { SenderName = new string('x', WireConstants.MaxStringBytes + 1) }));
    }

    [Fact]
    public async Task A_stream_of_messages_is_read_whatever_the_pieces()
    {
        var random = new Random(3);
        ControlMessage[] sent = [.. Enumerable.Range(0, 60).Select(i => SampleMessages.Draw(SampleMessages.Types[i % SampleMessages.Types.Length], random))];
        byte[] bytes = [.. sent.SelectMany(SampleMessages.Encode)];
        foreach (int piece in (int[])[1, 7, 16, 61, 4096])
        {
            var pipe = new Pipe();
            Task writing = Task.Run(async () =>
            {
                for (int at = 0; at < bytes.Length; at += piece) await pipe.Writer.WriteAsync(bytes.AsMemory(at, Math.Min(piece, bytes.Length - at)));
                await pipe.Writer.CompleteAsync();
            });
            foreach (ControlMessage message in sent) Assert.Equal(message, (await ControlReader.ReadAsync(pipe.Reader)).Message);
            Assert.True((await ControlReader.ReadAsync(pipe.Reader)).IsEndOfStream);
            await writing;
        }
    }

    [Fact]
    public async Task The_longest_manifest_passes_through_a_pipe_that_holds_far_less()
    {
        var random = new Random(5);
        ImmutableArray<int> ids = [.. Enumerable.Range(0, WireConstants.MaxTokens).Select(_ => random.Next())];
        var finish = new Finish(Guid.NewGuid(), 1, new HandoffManifest(ids, ids.Length, 5, new byte[WireConstants.MaxSamplerStateBytes], new byte[WireConstants.MaxMetadataBytes]));
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 65536, resumeWriterThreshold: 32768));
        Task writing = Task.Run(async () => await ControlWriter.WriteAsync(pipe.Writer, finish));
        Assert.Equal(finish, (await ControlReader.ReadAsync(pipe.Reader)).Message);
        await writing;
    }

    [Fact]
    public async Task A_stream_that_ends_inside_a_message_is_truncated()
    {
        byte[] bytes = SampleMessages.Encode(SampleMessages.Draw(ControlMessageType.Offer, new Random(9)));
        for (int length = 1; length < bytes.Length; length++)
        {
            var pipe = new Pipe();
            await pipe.Writer.WriteAsync(bytes.AsMemory(0, length));
            await pipe.Writer.CompleteAsync();
            Assert.Equal(WireErrorCode.Truncated, (await ControlReader.ReadAsync(pipe.Reader)).Error?.Code);
        }
    }

    [Fact]
    public async Task A_cancelled_read_consumes_nothing()
    {
        var pipe = new Pipe();
        var query = new Query(Guid.NewGuid());
        byte[] bytes = SampleMessages.Encode(query);
        await pipe.Writer.WriteAsync(bytes.AsMemory(0, 20));
        using var stop = new CancellationTokenSource();
        ValueTask<ControlReadResult> reading = ControlReader.ReadAsync(pipe.Reader, stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await reading);
        await pipe.Writer.WriteAsync(bytes.AsMemory(20));
        Assert.Equal(query, (await ControlReader.ReadAsync(pipe.Reader)).Message);
    }
}
