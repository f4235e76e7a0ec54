using System.Buffers.Binary;
using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>The two ends of one ring by themselves, with the words of the mapping in view.</summary>
public sealed class SharedMemoryRingTests : IDisposable
{
    private const int Capacity = RingLayout.MinCapacityBytes;

    private readonly RingMemory _rings;
    private readonly RingEnd _writer, _reader;
    private int _bells;

    public SharedMemoryRingTests()
    {
        _rings = RingMemory.Create(Capacity, out int descriptor);
        SharedMemorySocket.CloseDescriptor(descriptor);
        _writer = _rings.End(fromCreator: true, writes: true, () => _bells++);
        _reader = _rings.End(fromCreator: true, writes: false, () => _bells++);
    }

    public void Dispose() => _rings.Dispose();

    [Fact]
    public void Bytes_keep_their_order_over_every_wrap()
    {
        Random random = new(3);
        byte[] sent = new byte[1 << 20], got = new byte[sent.Length];
        random.NextBytes(sent);
        for (int written = 0, read = 0; read < got.Length;)
        {
            written += _writer.Write(sent.AsSpan(written, Math.Min(random.Next(1, 2000), sent.Length - written)), out _);
            read += _reader.Read(got.AsSpan(read, Math.Min(random.Next(1, 2000), got.Length - read)), out RingStatus status);
            Assert.True(status is RingStatus.Moved or RingStatus.Waiting);
            Assert.InRange(written - read, 0, Capacity);
        }
        Assert.True(sent.AsSpan().SequenceEqual(got));
    }

    [Fact]
    public void A_full_ring_takes_nothing_and_an_empty_one_gives_nothing()
    {
        int taken = 0;
        byte[] piece = new byte[100];
        RingStatus status;
        while (_writer.Write(piece, out status) is > 0 and int count) taken += count;
        Assert.Equal(Capacity, taken);
        Assert.Equal(RingStatus.Waiting, status);
        while (_reader.Read(piece, out status) is > 0 and int count) taken -= count;
        Assert.Equal(0, taken);
        Assert.Equal(RingStatus.Waiting, status);
    }

    [Fact]
    public void Nobody_is_woken_while_nobody_waits()
    {
        for (int i = 0; i < 10; i++)
        {
            _writer.Write(new byte[10], out _);
            _reader.Read(new byte[10], out _);
        }
        Assert.Equal(0u, Word(RingLayout.DataSequence));
        Assert.Equal(0u, Word(RingLayout.SpaceSequence));
        Assert.Equal(0, _bells);
    }

    [Theory]
    [InlineData(1u, 1u, 0)]
    [InlineData(2u, 0u, 1)]
    [InlineData(3u, 1u, 1)]
    public void Who_waits_is_woken_once_in_the_way_that_it_asked_for(uint waiting, uint changes, int bells)
    {
        SetWord(RingLayout.DataWaiting, waiting);
        _writer.Write(new byte[10], out _);
        _writer.Write(new byte[10], out _);
        Assert.Equal(0u, Word(RingLayout.DataWaiting));
        Assert.Equal(changes, Word(RingLayout.DataSequence));
        Assert.Equal(bells, _bells);

        SetWord(RingLayout.SpaceWaiting, waiting);
        _reader.Read(new byte[10], out _);
        _reader.Read(new byte[10], out _);
        Assert.Equal(0u, Word(RingLayout.SpaceWaiting));
        Assert.Equal(changes, Word(RingLayout.SpaceSequence));
        Assert.Equal(2 * bells, _bells);
    }

    [Fact]
    public async Task A_sleeper_says_so_and_takes_it_back()
    {
        Task<int> sleeping = Blocking.Run(() =>
        {
            _reader.SleepUntilReady();
            return _reader.Read(new byte[10], out _);
        });
        while (Word(RingLayout.DataWaiting) != 1) await Task.Delay(1);
        _writer.Write(new byte[7], out _);
        Assert.Equal(7, await sleeping);
        Assert.Equal(0u, Word(RingLayout.DataWaiting));
        Assert.Equal(1u, Word(RingLayout.DataSequence));
    }

    [Fact]
    public void A_bell_is_asked_for_only_while_there_is_nothing()
    {
        Assert.False(_reader.AskForBell());
        Assert.True(_writer.AskForBell());
        _writer.Write(new byte[1], out _);
        Assert.Equal(1, _bells);
        Assert.True(_reader.AskForBell());
    }

    [Fact]
    public void An_end_comes_after_the_last_byte_and_wakes_the_reader()
    {
        _writer.Write(new byte[3], out _);
        SetWord(RingLayout.DataWaiting, 1);
        _writer.Leave(RingEnd.Ended);
        _writer.Leave(RingEnd.Aborted); // the first word counts
        Assert.Equal(1u, Word(RingLayout.DataSequence));
        Assert.Equal(3, _reader.Read(new byte[10], out _));
        Assert.Equal(0, _reader.Read(new byte[10], out RingStatus status));
        Assert.Equal(RingStatus.Ended, status);

        _reader.Leave(RingEnd.Aborted);
        Assert.Equal(0, _writer.Write(new byte[3], out status));
        Assert.Equal(RingStatus.PeerLeft, status);
    }

    private uint Word(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_rings.Span(offset, 4));

    private void SetWord(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_rings.Span(offset, 4), value);
}
