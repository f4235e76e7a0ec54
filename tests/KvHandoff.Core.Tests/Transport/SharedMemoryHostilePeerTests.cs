using System.Buffers.Binary;
using System.Net.Sockets;
using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Peers that lie in the bootstrap or scribble over the ring.</summary>
public sealed class SharedMemoryHostilePeerTests
{
    private const int Capacity = 64 << 10;
    private static readonly SharedMemoryTransport Transport = SharedMemoryTransport.Instance;

    private readonly TransportEndpoint _endpoint = new("shm", $"@kvhandoff-{Guid.NewGuid():N}", 0);
    private readonly string _name = $"kvh-{Guid.NewGuid():N}";

    public static TheoryData<string> BadHellos => new(
        "magic", "version", "capacity 0", "capacity 3", "capacity huge", "capacity wraps", "mapping", "no descriptor", "two descriptors",
        "253 descriptors", "unsealed", "short", "long", "not a memfd", "cut off", "descriptor with every byte", "noise");

    [Theory]
    [MemberData(nameof(BadHellos))]
    public async Task A_bad_hello_is_refused_and_leaves_no_descriptor(string fault)
    {
        await using ITransportListener listener = await Transport.ListenAsync(_endpoint, TransportOptions.Default, default);
        using SharedSlab slab = SharedSlab.Create(_name, RingLayout.MappingBytes(Capacity));
        byte[] hello = SharedMemoryBootstrap.Hello(Capacity);
        int[] descriptors = [slab.FileDescriptor];
        RingMemory? other = null;
        int otherDescriptor = -1;
        switch (fault)
        {
            case "magic": hello[3] ^= 1; break;
            case "version": hello[8] = 9; break;
            case "capacity 0": BinaryPrimitives.WriteInt32LittleEndian(hello.AsSpan(12), 0); break;
            case "capacity 3": BinaryPrimitives.WriteInt32LittleEndian(hello.AsSpan(12), 3 * 4096); break;
            case "capacity huge": BinaryPrimitives.WriteInt32LittleEndian(hello.AsSpan(12), 1 << 30); break;
            case "capacity wraps": BinaryPrimitives.WriteUInt32LittleEndian(hello.AsSpan(12), 0x8000_0000); break;
            case "mapping": BinaryPrimitives.WriteInt64LittleEndian(hello.AsSpan(16), long.MaxValue); break;
            case "no descriptor": descriptors = []; break;
            case "two descriptors": descriptors = [slab.FileDescriptor, slab.FileDescriptor]; break;
            case "253 descriptors": descriptors = [.. Enumerable.Repeat(slab.FileDescriptor, 253)]; break;
            case "short": other = RingMemory.Create(Capacity / 2, out otherDescriptor); break;
            case "long": other = RingMemory.Create(Capacity * 2, out otherDescriptor); break;
            case "not a memfd": otherDescriptor = -2; break;
            case "noise": new Random(1).NextBytes(hello); break;
        }

        using (Socket peer = await SharedMemoryAddress.ConnectAsync(_endpoint, default))
        {
            int fd = (int)peer.Handle;
            if (otherDescriptor != -1) descriptors = [otherDescriptor == -2 ? fd : otherDescriptor];
            if (fault == "cut off") hello = hello[..40];
            if (fault == "descriptor with every byte")
                for (int i = 0; i < hello.Length && SharedMemorySocket.TrySend(fd, hello.AsSpan(i, 1), descriptors, out _); i++) { }
            else
                Assert.True(SharedMemorySocket.TrySend(fd, hello, descriptors, out string? error), error);
            if (fault == "cut off") peer.Shutdown(SocketShutdown.Send);

            byte[] reply = new byte[SharedMemoryBootstrap.ReplyBytes];
            peer.Blocking = true;
            peer.ReceiveTimeout = 20_000;
            Assert.Equal(reply.Length, peer.Receive(reply));
            Assert.Null(SharedMemoryBootstrap.OpenReply(reply, [], 0, out string? refusal));
            Assert.Contains("refuses the ring", refusal);
        }
        other?.Dispose();
        SharedMemorySocket.CloseDescriptor(otherDescriptor);
        await EventuallyAsync(() => SharedMemoryDescriptors.Named(_name) == 1);
        await EventuallyAsync(() => SharedMemoryDescriptors.Named("kvhandoff-ring") == 0);

        // And the next peer is served.
        using IConnection good = await Transport.ConnectAsync(_endpoint, TransportOptions.Default, default);
        Assert.NotNull(await listener.AcceptAsync(default));
    }

    [Theory]
    [InlineData("magic", "speaks another protocol")]
    [InlineData("version", "version 7")]
    [InlineData("17 regions", "17 regions are announced and 1 descriptors came")]
    [InlineData("missing descriptor", "1 regions are announced and 0 descriptors came")]
    [InlineData("undeclared descriptor", "0 regions are announced and 1 descriptors came")]
    [InlineData("20 descriptors", "20 descriptors came")]
    [InlineData("length", "region 0 is announced with 4097 bytes, and its descriptor holds 4096")]
    [InlineData("negative length", "region 0 is announced with -1 bytes")]
    [InlineData("cut off", "left after 32 of 160 bytes")]
    [InlineData("silent", "no answer within")]
    public async Task A_bad_listener_is_refused_and_leaves_no_descriptor(string fault, string expected)
    {
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(SharedMemoryAddress.EndPointOf(_endpoint));
        listener.Listen(5);
        using SharedSlab slab = SharedSlab.Create(_name, 4096);
        byte[] reply = SharedMemoryBootstrap.Reply(SharedMemoryBootstrap.Accepted, [slab]);
        int[] descriptors = [slab.FileDescriptor];
        switch (fault)
        {
            case "magic": reply[0] ^= 1; break;
            case "version": reply[8] = 7; break;
            case "17 regions": reply[16] = 17; break;
            case "missing descriptor": descriptors = []; break;
            case "undeclared descriptor": reply[16] = 0; break;
            case "20 descriptors": descriptors = [.. Enumerable.Repeat(slab.FileDescriptor, 20)]; break;
            case "length": BinaryPrimitives.WriteInt64LittleEndian(reply.AsSpan(32), 4097); break;
            case "negative length": BinaryPrimitives.WriteInt64LittleEndian(reply.AsSpan(32), -1); break;
            case "cut off": reply = reply[..32]; break;
        }

        Task<IConnection> connecting = Transport.ConnectAsync(_endpoint, new() { ConnectTimeout = TimeSpan.FromSeconds(fault == "silent" ? 0.2 : 20) }, default);
        using (Socket accepted = await listener.AcceptAsync())
        {
            if (fault != "silent") Assert.True(SharedMemorySocket.TrySend((int)accepted.Handle, reply, descriptors, out string? error), error);
            if (fault == "cut off") accepted.Shutdown(SocketShutdown.Send);
            TransportException refused = await Assert.ThrowsAsync<TransportException>(() => connecting.WaitAsync(Blocking.Limit));
            Assert.Contains(expected, refused.Message);
            Assert.Contains(_endpoint.ToString(), refused.Message);
        }
        await EventuallyAsync(() => SharedMemoryDescriptors.Named(_name) == 1);
    }

    [Fact]
    public async Task Peers_that_stall_keep_nobody_out_and_are_dropped()
    {
        await using ITransportListener listener = await Transport.ListenAsync(_endpoint, new() { ConnectTimeout = TimeSpan.FromMilliseconds(300) }, default);
        List<Socket> stalled = [];
        for (int i = 0; i < 20; i++)
        {
            stalled.Add(await SharedMemoryAddress.ConnectAsync(_endpoint, default));
            Assert.True(SharedMemorySocket.TrySend((int)stalled[i].Handle, SharedMemoryBootstrap.Hello(Capacity).AsSpan(0, i), [], out _) || i == 0);
        }
        using (IConnection client = await Transport.ConnectAsync(_endpoint, TransportOptions.Default, default))
        using (IConnection server = (await listener.AcceptAsync(default))!)
            Assert.True(server.Send(new byte[1]).IsOk);
        foreach (Socket socket in stalled)
        {
            socket.Blocking = true;
            socket.ReceiveTimeout = 20_000;
            try { Assert.Equal(0, socket.Receive(new byte[1])); }
            catch (SocketException e) { Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode); } // what it had sent was never read
            socket.Dispose();
        }
    }

    [Theory]
    [InlineData(RingLayout.WriterIndex, ulong.MaxValue, false)]
    [InlineData(RingLayout.WriterIndex, (ulong)Capacity + 1, false)]
    [InlineData(RingLayout.WriterState, 77UL, false)]
    [InlineData(RingLayout.DirectionBytes + RingLayout.ReaderIndex, 1UL, true)]
    [InlineData(RingLayout.DirectionBytes + RingLayout.ReaderIndex, 1UL << 63, true)]
    [InlineData(RingLayout.DirectionBytes + RingLayout.ReaderState, 77UL, true)]
    public async Task A_poisoned_word_is_a_typed_failure(int offset, ulong value, bool sends)
    {
        await using HostilePeer peer = await HostilePeer.OpenAsync(_endpoint);
        BinaryPrimitives.WriteUInt64LittleEndian(peer.Rings.Span(offset, 8), value);
        byte[] bytes = new byte[100];
        TransportResult result = await Blocking.Run(() => sends ? peer.Victim.Send(bytes) : peer.Victim.Receive(bytes));
        Assert.Equal(TransportStatus.Failed, result.Status);
        Assert.Contains($"of {Capacity}", result.Message);
        TransportResult asynchronous = sends ? await peer.Victim.SendAsync(bytes, default) : await peer.Victim.ReceiveAsync(bytes, default);
        Assert.Equal(TransportStatus.Failed, asynchronous.Status);
        Assert.Equal(0, peer.Victim.Counters.BytesReceived + peer.Victim.Counters.BytesSent);
        Assert.Equal(0, bytes.Sum(b => b));
    }

    [Fact]
    public async Task A_peer_that_scribbles_all_the_time_writes_nowhere_else_and_cannot_hold_us()
    {
        await using HostilePeer peer = await HostilePeer.OpenAsync(_endpoint);
        using NativeSlab slab = NativeSlab.Allocate(3 * 4096);
        slab.Fill(0xEE);
        using CancellationTokenSource stop = new();
        Task scribbling = Blocking.Run(() =>
        {
            Random random = new(5);
            Span<byte> header = peer.Rings.Span(0, 2 * RingLayout.DirectionBytes);
            while (!stop.IsCancellationRequested)
            {
                // Plausible indices most of the time, so that bytes do move.
                int at = random.Next(header.Length / 8) * 8;
                long value = random.Next(4) == 0 ? random.NextInt64() : random.Next(4) == 0 ? 0 : random.Next(Capacity * 2);
                BinaryPrimitives.WriteInt64LittleEndian(header[at..], value);
            }
            return 0;
        });
        Task<TransportResult> transfers = Blocking.Run(() =>
        {
            IoRange[] range = new IoRange[1];
            while (true)
            {
                range[0] = new IoRange(slab.Address + 4096, 4096);
                if (peer.Victim.ReceiveVectors(range) is { Status: TransportStatus.Aborted } end) return end;
                range[0] = new IoRange(slab.Address + 4096, 4096);
                if (peer.Victim.SendVectors(range) is { Status: TransportStatus.Aborted } ended) return ended;
            }
        });
        await Task.Delay(700);
        peer.Victim.Abort();
        Assert.Equal(TransportStatus.Aborted, (await transfers).Status);
        await stop.CancelAsync();
        await scribbling;
        Assert.Equal(-1, slab.Span(0, 4096).IndexOfAnyExcept((byte)0xEE));
        Assert.Equal(-1, slab.Span(8192, 4096).IndexOfAnyExcept((byte)0xEE));
    }

    [Fact]
    public async Task A_flood_of_bells_is_taken_off_and_a_true_one_is_still_heard()
    {
        await using HostilePeer peer = await HostilePeer.OpenAsync(_endpoint);
        Task<TransportResult> receiving = peer.Victim.ReceiveAsync(new byte[1], default).AsTask();
        peer.Socket.Blocking = true;
        for (int i = 0; i < 200; i++) peer.Socket.Send(new byte[4096]);
        Assert.False(receiving.IsCompleted);
        RingEnd writer = peer.Rings.End(fromCreator: true, writes: true, () => peer.Socket.Send(new byte[1]));
        Assert.Equal(1, writer.Write(new byte[] { 1 }, out _));
        Assert.Equal(TransportResult.Ok, await receiving.WaitAsync(Blocking.Limit));
    }

    private static async Task EventuallyAsync(Func<bool> holds)
    {
        // Tests of other classes come and go beside this one: what counts is that it held once.
        bool held = false;
        for (int i = 0; i < 500 && !(held = holds()); i++) await Task.Delay(20);
        Assert.True(held);
    }

    /// <summary>A connecting side that holds the raw mapping, and the connection that a listener made of it.</summary>
    private sealed class HostilePeer : IAsyncDisposable
    {
        public required RingMemory Rings { get; init; }
        public required Socket Socket { get; init; }
        public required IConnection Victim { get; init; }
        public required ITransportListener Listener { get; init; }

        public static async Task<HostilePeer> OpenAsync(TransportEndpoint endpoint)
        {
            ITransportListener listener = await Transport.ListenAsync(endpoint, TransportOptions.Default, default);
            Socket socket = await SharedMemoryAddress.ConnectAsync(endpoint, default);
            RingMemory rings = RingMemory.Create(Capacity, out int fd);
            Assert.True(SharedMemorySocket.TrySend((int)socket.Handle, SharedMemoryBootstrap.Hello(Capacity), [fd], out string? error), error);
            SharedMemorySocket.CloseDescriptor(fd);
            return new HostilePeer { Rings = rings, Socket = socket, Victim = (await listener.AcceptAsync(default))!, Listener = listener };
        }

        public async ValueTask DisposeAsync()
        {
            Victim.Dispose();
            await Listener.DisposeAsync();
            Socket.Dispose();
            Rings.Dispose();
        }
    }
}
