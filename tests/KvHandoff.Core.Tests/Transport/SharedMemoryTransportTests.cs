using System.Net.Sockets;
using KvHandoff.Memory;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>The conformance suite over an abstract name.</summary>
public sealed class SharedMemoryAbstractNameTests : ConnectionConformance
{
    protected override ITransport Transport => SharedMemoryTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => new("shm", $"@kvhandoff-{Guid.NewGuid():N}", 0);
}

/// <summary>The conformance suite over a socket file, and what is special to shared memory inside one process.</summary>
public sealed class SharedMemoryTransportTests : ConnectionConformance
{
    protected override ITransport Transport => SharedMemoryTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => new("shm", Path.Combine(Path.GetTempPath(), $"kvh-{Guid.NewGuid():N}"), 0);

    [Fact]
    public async Task A_socket_file_belongs_to_its_user_and_goes_with_its_listener()
    {
        TransportEndpoint endpoint = AnyEndpoint;
        await using (await Transport.ListenAsync(endpoint, TransportOptions.Default, default))
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(endpoint.Host));
        Assert.False(File.Exists(endpoint.Host));

        TransportOptions others = new() { AllowedUserIds = [SharedMemorySocket.OwnUserId, SharedMemorySocket.OwnUserId + 1] };
        await using (await Transport.ListenAsync(endpoint, others, default))
            Assert.True(File.GetUnixFileMode(endpoint.Host).HasFlag(UnixFileMode.OtherWrite));
    }

    [Fact]
    public async Task A_stale_socket_file_is_replaced_and_anything_else_is_not()
    {
        TransportEndpoint endpoint = AnyEndpoint;
        using (Socket abandoned = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            // Bound in another place and moved, so that the runtime does not remove it when the socket goes.
            abandoned.Bind(new UnixDomainSocketEndPoint(endpoint.Host + ".old"));
            File.Move(endpoint.Host + ".old", endpoint.Host);
        }
        Assert.True(File.Exists(endpoint.Host));
        await using (await Transport.ListenAsync(endpoint, TransportOptions.Default, default))
        {
            TransportException taken = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(endpoint, TransportOptions.Default, default));
            Assert.Contains(endpoint.ToString(), taken.Message);
            (await Transport.ConnectAsync(endpoint, TransportOptions.Default, default)).Dispose();
        }

        File.WriteAllText(endpoint.Host, "a file of somebody");
        try
        {
            await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(endpoint, TransportOptions.Default, default));
            Assert.Equal("a file of somebody", File.ReadAllText(endpoint.Host));
        }
        finally
        {
            File.Delete(endpoint.Host);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_user_that_is_not_allowed_is_refused_with_both_ids(bool byListener)
    {
        uint own = SharedMemorySocket.OwnUserId;
        TransportOptions strict = new() { AllowedUserIds = [own + 4711] };
        await using ITransportListener listener = await Transport.ListenAsync(AnyEndpoint, byListener ? strict : TransportOptions.Default, default);
        TransportException refused = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ConnectAsync(listener.Endpoint, byListener ? TransportOptions.Default : strict, default));
        Assert.Equal(TransportStatus.Failed, refused.Status);
        Assert.Contains($"user id {own}", refused.Message);
        Assert.Contains(byListener ? $"not admit user id {own}" : $"allowed: {own + 4711}", refused.Message);
    }

    [Fact]
    public async Task A_name_without_a_listener_and_a_foreign_scheme_are_refused()
    {
        TransportEndpoint nobody = AnyEndpoint;
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ConnectAsync(nobody, TransportOptions.Default, default));
        Assert.Contains(nobody.ToString(), e.Message);
        TransportException foreign = await Assert.ThrowsAsync<TransportException>(
            () => Transport.ListenAsync(new("tcp", "127.0.0.1", 0), TransportOptions.Default, default));
        Assert.Contains("'tcp'", foreign.Message);
    }

    [Fact]
    public async Task A_closed_listener_accepts_null_and_drops_who_was_not_accepted()
    {
        ITransportListener listener = await Transport.ListenAsync(AnyEndpoint, TransportOptions.Default, default);
        using IConnection unclaimed = await Transport.ConnectAsync(listener.Endpoint, TransportOptions.Default, default);
        Task<TransportResult> receiving = Blocking.Run(() => unclaimed.Receive(new byte[1]));
        await listener.DisposeAsync();
        Assert.Null(await listener.AcceptAsync(default));
        Assert.Contains((await receiving).Status, new[] { TransportStatus.Closed, TransportStatus.Reset });
    }

    [Fact]
    public async Task A_cancelled_accept_leaves_the_listener_open()
    {
        await using ITransportListener listener = await Transport.ListenAsync(AnyEndpoint, TransportOptions.Default, default);
        using CancellationTokenSource caller = new(20);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => listener.AcceptAsync(caller.Token).AsTask().WaitAsync(Blocking.Limit));
        using IConnection client = await Transport.ConnectAsync(listener.Endpoint, TransportOptions.Default, default);
        using IConnection? server = await listener.AcceptAsync(default);
        Assert.NotNull(server);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    public async Task Regions_are_mapped_once_and_seen_by_both_sides(int count)
    {
        SharedSlab[] slabs = [.. Enumerable.Range(0, count).Select(i => SharedSlab.Create("kvhandoff-test", 10_000 + i))];
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, AnyEndpoint, new() { SharedRegions = [.. slabs] });
        ISharedMemoryPeer client = (ISharedMemoryPeer)pair.Client, server = (ISharedMemoryPeer)pair.Server;
        Assert.Equal(count, client.RegionCount);
        Assert.Equal(0, server.RegionCount);
        Assert.Empty(server.MapRegions());
        System.Collections.Immutable.ImmutableArray<MemoryRegion> mapped = client.MapRegions();
        Assert.Equal(mapped, client.MapRegions());
        Assert.Equal(slabs.Select(s => s.LengthBytes), mapped.Select(r => r.LengthBytes));
        for (int i = 0; i < count; i++)
        {
            mapped[i].Span(10_000 + i - 1, 1)[0] = (byte)(i + 1);
            slabs[i].Span(0, 1)[0] = (byte)(i + 100);
        }
        for (int i = 0; i < count; i++)
        {
            Assert.Equal(i + 1, slabs[i].Span(10_000 + i - 1, 1)[0]);
            Assert.Equal(i + 100, mapped[i].Span(0, 1)[0]);
        }
        pair.Client.Dispose();
        Assert.Throws<ObjectDisposedException>(() => client.MapRegions());
        foreach (SharedSlab slab in slabs) slab.Dispose();
    }

    [Fact]
    public async Task More_regions_than_a_message_holds_are_refused()
    {
        using SharedSlab slab = SharedSlab.Create("kvhandoff-test", 4096);
        TransportOptions options = new() { SharedRegions = [.. Enumerable.Repeat(slab, 17)] };
        TransportException e = await Assert.ThrowsAsync<TransportException>(() => Transport.ListenAsync(AnyEndpoint, options, default));
        Assert.Contains("17", e.Message);
        Assert.Contains("16", e.Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_sharing_side_hears_when_the_peer_has_unmapped(bool leavesFirst)
    {
        using SharedSlab slab = SharedSlab.Create("kvhandoff-test", 4096);
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, AnyEndpoint, new() { SharedRegions = [slab] });
        ISharedMemoryPeer client = (ISharedMemoryPeer)pair.Client, server = (ISharedMemoryPeer)pair.Server;
        MemoryRegion region = client.MapRegions()[0];
        Assert.True(client.TryHoldRegions());
        if (leavesFirst) pair.Server.Dispose();
        pair.Client.Abort();
        pair.Client.Dispose();
        await Task.Delay(100);

        // A disposal by another thread does not pull the mapping away, and the sharing side is not told that it has.
        Assert.False(server.PeerGone.IsCompleted);
        region.Span(0, 1)[0] = 5;
        Assert.Equal(5, slab.Span(0, 1)[0]);
        Assert.False(client.TryHoldRegions());

        client.ReleaseRegions();
        await server.PeerGone.WaitAsync(Blocking.Limit);
        Assert.Throws<ObjectDisposedException>(() => region.Span(0, 1)[0]);
    }

    [Fact]
    public async Task Opening_and_closing_leaves_no_descriptor()
    {
        using SharedSlab slab = SharedSlab.Create("kvhandoff-leak", 4096);
        TransportOptions options = new() { SharedRegions = [slab] };
        int before = SharedMemoryDescriptors.Named("kvhandoff-leak");
        await using ITransportListener listener = await Transport.ListenAsync(AnyEndpoint, options, default);
        for (int i = 0; i < 200; i++)
        {
            using IConnection client = await Transport.ConnectAsync(listener.Endpoint, options, default);
            using IConnection server = (await listener.AcceptAsync(default))!;
            if (i % 2 == 0) ((ISharedMemoryPeer)client).MapRegions();
        }
        Assert.Equal(before, SharedMemoryDescriptors.Named("kvhandoff-leak"));
        Assert.InRange(SharedMemoryDescriptors.Named("kvhandoff-ring"), 0, 20); // those of tests that run beside this one
    }

    [Fact]
    public async Task The_buffer_options_size_the_ring()
    {
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, AnyEndpoint, new() { SendBufferBytes = 5000 });
        Assert.True(pair.Client.Send(new byte[8192]).IsOk);
        Task<TransportResult> more = Blocking.Run(() => pair.Client.Send(new byte[1]));
        await Task.Delay(50);
        Assert.False(more.IsCompleted);
        Assert.True(pair.Server.Receive(new byte[8193]).IsOk);
        Assert.True((await more).IsOk);
    }

    [Fact]
    public async Task A_pipe_that_is_full_by_turns_loses_nothing()
    {
        // The reader takes from the ring itself whenever it can, and the thread fills a pipe that it then finds full: both meet at every pause.
        const int Total = 24 << 20;
        await using ConnectionPair pair = await ConnectionPair.OpenAsync(Transport, AnyEndpoint);
        byte[] sent = new byte[Total], got = new byte[Total];
        new Random(12).NextBytes(sent);
        Task<TransportResult> sending = Blocking.Run(() =>
        {
            TransportResult result = pair.Client.Send(sent);
            return result.IsOk ? pair.Client.CompleteSend() : result;
        });
        System.IO.Pipelines.PipeReader input = pair.Server.AsPipe().Input;
        Random random = new(13);
        int done = 0;
        while (true)
        {
            System.IO.Pipelines.ReadResult read = await input.ReadAsync().AsTask().WaitAsync(Blocking.Limit);
            int take = random.Next(3) == 0 ? (int)Math.Min(read.Buffer.Length, random.Next(1, 9000)) : (int)read.Buffer.Length;
            System.Buffers.BuffersExtensions.CopyTo(read.Buffer.Slice(0, take), got.AsSpan(done));
            done += take;
            bool last = read.IsCompleted && take == read.Buffer.Length;
            input.AdvanceTo(read.Buffer.GetPosition(take));
            if (last) break;
            if (random.Next(20) == 0) Thread.SpinWait(random.Next(20_000));
        }
        Assert.Equal(Total, done);
        Assert.True(sent.AsSpan().SequenceEqual(got));
        Assert.Equal(TransportResult.Ok, await sending);
    }
}
