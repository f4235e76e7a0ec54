using System.Text;
using KvHandoff.Codec;
using KvHandoff.Fuzz;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Peers that lie, over real sockets: a typed error, blocks released, nothing published, and the receiver serves the next one.</summary>
public sealed class HostilePeerTests
{
    private const int Tokens = 100;

    [Fact]
    public async Task A_correct_frame_by_hand_is_accepted()
    {
        // Without this the refusals below could pass for the wrong reason.
        await using SessionFixture f = await SessionFixture.StartAsync();
        await using HandmadeSender raw = await HandmadeSender.ConnectAsync(f.Receiver.Endpoint, f.Target.Layout);
        Grant grant = await raw.OfferAsync(f.Target.Layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await f.NextAsync();
        for (int layer = 0; layer < 3; layer++)
        {
            for (int granule = 0; granule < 2; granule++)
            {
                (FrameHeader header, SegmentEntry[] entries, byte[] payload) = raw.Frame(f.Target.Layout, grant, layer, granule, Tokens);
                raw.Send(header, entries, payload);
            }
        }

        var committed = Assert.IsType<Committed>(await raw.AskAsync(new Finish(grant.HandoffId, grant.LeaseId, SessionFixture.Manifest(Tokens))));
        Assert.Equal(f.Target.Layout.BytesForTokens(Tokens), committed.KvBytes);
        (await incoming.CommittedAsync()).Dispose();
    }

    [Fact]
    public async Task A_flipped_bit_aborts_with_both_checksums()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        await using HandmadeSender raw = await HandmadeSender.ConnectAsync(f.Receiver.Endpoint, f.Target.Layout);
        Grant grant = await raw.OfferAsync(f.Target.Layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await f.NextAsync();
        (FrameHeader header, SegmentEntry[] entries, byte[] payload) = raw.Frame(f.Target.Layout, grant, 1, 0, Tokens);
        payload[^1] ^= 0x10;
        raw.Send(header, entries, payload);
        var abort = Assert.IsType<Abort>(await raw.NextAsync());
        Assert.Equal(AbortReason.Corrupt, abort.Reason);
        Assert.Contains(entries[^1].Crc32C.ToString("x8"), abort.Message);
        HandoffException failure = await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync());
        Assert.Equal(HandoffFailure.Corrupt, failure.Failure);
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "blocks released");
        await ServesTheNextAsync(f);
    }

    public static TheoryData<string> Contradictions => ["generation", "codec", "heads", "tokens", "layer", "granule", "dim"];

    [Theory]
    [MemberData(nameof(Contradictions))]
    public async Task A_frame_that_contradicts_its_grant_ends_the_handoff(string what)
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        KvCacheLayout layout = f.Target.Layout;
        await using HandmadeSender raw = await HandmadeSender.ConnectAsync(f.Receiver.Endpoint, layout);
        Grant grant = await raw.OfferAsync(layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await f.NextAsync();
        (FrameHeader header, SegmentEntry[] entries, byte[] payload) = raw.Frame(layout, grant, 1, 0, Tokens);
        switch (what)
        {
            case "generation": header = header with { SlotGeneration = header.SlotGeneration + 1 }; break;
            case "codec":
                // Consistent in itself, so that only the grant contradicts it.
                (header, entries, payload) = Shrink(header with { Codec = CodecId.Fp8E4M3 }, entries, 64 * 32 + 64 * 4);
                break;
            case "heads": (header, entries, payload) = (header with { HeadCount = 1, PayloadBytes = payload.Length / 2 }, entries[..2], payload[..(payload.Length / 2)]); break;
            case "tokens": (header, entries, payload) = Shrink(header with { Tokens = 63 }, entries, 63 * 32 * 2); break;
            case "layer": header = header with { Layer = 3 }; break;
            case "granule": header = header with { Granule = 2 }; break;
            case "dim": (header, entries, payload) = Shrink(header with { HeadDim = 16 }, entries, 64 * 16 * 2); break;
        }

        raw.Send(header, entries, payload);
        var abort = Assert.IsType<Abort>(await raw.NextAsync());
        Assert.Equal(AbortReason.ProtocolError, abort.Reason);
        Assert.Equal(HandoffFailure.ProtocolMismatch, (await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync())).Failure);
        Assert.Equal(1, f.Receiver.FencedFrames);
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "blocks released");
        await ServesTheNextAsync(f);
    }

    [Theory]
    [InlineData("epoch")]
    [InlineData("lease")]
    [InlineData("unknown")]
    [InlineData("repeat")]
    public async Task A_late_or_repeated_frame_is_dropped_and_changes_nothing(string what)
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        KvCacheLayout layout = f.Target.Layout;
        await using HandmadeSender raw = await HandmadeSender.ConnectAsync(f.Receiver.Endpoint, layout);
        Grant grant = await raw.OfferAsync(layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await f.NextAsync();
        (FrameHeader first, SegmentEntry[] entries, byte[] payload) = raw.Frame(layout, grant, 0, 0, Tokens);
        raw.Send(first, entries, payload);
        FrameHeader late = what switch
        {
            "epoch" => first with { Epoch = first.Epoch + 1 },
            "lease" => first with { LeaseId = first.LeaseId + 1 },
            "unknown" => first with { HandoffId = Guid.NewGuid() },
            _ => first,
        };
        raw.Send(late, entries, new byte[payload.Length]);
        for (int layer = 0; layer < 3; layer++)
        {
            for (int granule = layer == 0 ? 1 : 0; granule < 2; granule++)
            {
                (FrameHeader header, SegmentEntry[] e, byte[] p) = raw.Frame(layout, grant, layer, granule, Tokens);
                raw.Send(header, e, p);
            }
        }

        Assert.IsType<Committed>(await raw.AskAsync(new Finish(grant.HandoffId, grant.LeaseId, SessionFixture.Manifest(Tokens))));
        using KvSequence landed = await incoming.CommittedAsync();
        Assert.True(landed.View(0).Row(0, KvPlane.Key, 0).SequenceEqual(payload.AsSpan(0, layout.Group(0).RowBytes)));
    }

    [Fact]
    public async Task A_header_with_a_wrong_checksum_drops_the_peer()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        await using HandmadeSender raw = await HandmadeSender.ConnectAsync(f.Receiver.Endpoint, f.Target.Layout);
        Grant grant = await raw.OfferAsync(f.Target.Layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await f.NextAsync();
        (FrameHeader header, _, _) = raw.Frame(f.Target.Layout, grant, 0, 0, Tokens);
        var bytes = new byte[FrameHeader.Bytes];
        header.Write(bytes);
        bytes[40] ^= 1;
        Assert.True(raw.Data.Send(bytes).IsOk);
        Assert.Equal(HandoffFailure.PeerGone, (await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync())).Failure);
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "blocks released");
        Assert.NotNull(f.Receiver.LastFault);
        await ServesTheNextAsync(f);
    }

    [Fact]
    public async Task A_peer_that_dies_inside_a_frame_frees_its_blocks()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        HandmadeSender raw = await HandmadeSender.ConnectAsync(f.Receiver.Endpoint, f.Target.Layout);
        Grant grant = await raw.OfferAsync(f.Target.Layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await f.NextAsync();
        (FrameHeader header, SegmentEntry[] entries, byte[] payload) = raw.Frame(f.Target.Layout, grant, 0, 0, Tokens);
        raw.Send(header, entries, payload.AsSpan(0, payload.Length / 2));
        await Task.Delay(100);
        Assert.Equal(HandoffStatus.Landing, incoming.Status);
        Assert.NotEqual(0, f.Target.UsedBlocks);
        raw.Data.Abort();
        await raw.DisposeAsync();
        Assert.Equal(HandoffFailure.PeerGone, (await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync())).Failure);
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "blocks released");
        await ServesTheNextAsync(f);
    }

    [Fact]
    public async Task A_silent_peer_expires_with_its_lease_even_inside_a_frame()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(receiverOptions: new KvReceiverOptions { Lease = TimeSpan.FromMilliseconds(300) });
        await using HandmadeSender raw = await HandmadeSender.ConnectAsync(f.Receiver.Endpoint, f.Target.Layout);
        Grant grant = await raw.OfferAsync(f.Target.Layout, Tokens, Guid.NewGuid());
        IncomingHandoff incoming = await f.NextAsync();
        (FrameHeader header, SegmentEntry[] entries, byte[] payload) = raw.Frame(f.Target.Layout, grant, 0, 0, Tokens);
        raw.Send(header, entries, payload.AsSpan(0, 10));
        HandoffException failure = await Assert.ThrowsAsync<HandoffException>(() => incoming.CommittedAsync().WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.Equal(HandoffFailure.Expired, failure.Failure);
        Assert.Equal(HandoffStatus.Expired, incoming.Status);
        await SessionFixture.EventuallyAsync(() => f.Target.UsedBlocks == 0, "blocks released");
        await ServesTheNextAsync(f);
    }

    [Fact]
    public async Task Another_protocol_and_another_version_are_told_apart_and_dropped()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        IConnection http = await HandmadeSender.OpenAsync(f.Receiver.Endpoint);
        string request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n";
        await http.SendAsync(Encoding.ASCII.GetBytes(request), CancellationToken.None);
        await SessionFixture.EventuallyAsync(() => f.Receiver.LastFault?.Contains("starts with 0x20544547", StringComparison.Ordinal) == true, "the magic is reported");
        http.Dispose();

        IConnection newer = await HandmadeSender.OpenAsync(f.Receiver.Endpoint);
        var preface = new byte[ConnectionPreface.Bytes];
        ConnectionPreface.Control.Write(preface);
        preface[4] = 9;
        BitConverter.TryWriteBytes(preface.AsSpan(^4..), Crc32C.Compute(preface.AsSpan(0, preface.Length - 4)));
        await newer.SendAsync(preface, CancellationToken.None);
        await SessionFixture.EventuallyAsync(() => f.Receiver.LastFault?.Contains("version", StringComparison.OrdinalIgnoreCase) == true, "the version is reported");
        Assert.Contains("9", f.Receiver.LastFault);
        newer.Dispose();
        await ServesTheNextAsync(f);
    }

    [Fact]
    public async Task A_stale_data_connection_is_refused()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        IConnection stale = await HandmadeSender.OpenAsync(f.Receiver.Endpoint);
        await HandmadeSender.SendPrefaceAsync(stale, ConnectionPreface.Data(0, f.Receiver.Epoch + 1, Guid.NewGuid()));
        Assert.False((await stale.ReceiveAsync(new byte[1], CancellationToken.None)).IsOk);
        Assert.Contains(f.Receiver.Epoch.ToString(), f.Receiver.LastFault);
        stale.Dispose();
        await ServesTheNextAsync(f);
    }

    private static (FrameHeader Header, SegmentEntry[] Entries, byte[] Payload) Shrink(FrameHeader header, SegmentEntry[] entries, int segmentBytes)
    {
        var payload = new byte[segmentBytes * entries.Length];
        uint crc = Crc32C.Compute(payload.AsSpan(0, segmentBytes));
        return (header with { PayloadBytes = payload.Length }, [.. entries.Select(_ => new SegmentEntry(crc, (uint)segmentBytes))], payload);
    }

    private static async Task ServesTheNextAsync(SessionFixture f)
    {
        using KvSequence sequence = SessionFixture.Fill(f.Source, 70, seed: 99);
        (KvSequence landed, _, _) = await f.HandOverAsync(sequence);
        using (landed) SessionFixture.AssertSameRows(sequence, landed);
    }
}
