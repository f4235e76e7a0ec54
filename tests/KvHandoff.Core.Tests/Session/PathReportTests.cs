using System.Collections.Immutable;
using System.Net;
using KvHandoff.Codec;
using KvHandoff.Core.Tests.Layout;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Session;

/// <summary>What a sender says about its path, over real connections.</summary>
public sealed class PathReportTests
{
    private const int Tokens = 200;

    [Fact]
    public async Task A_socket_path_says_what_is_direct_and_what_it_reached()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(streams: 2);
        PathReport idle = f.Sender.DescribePath();
        Assert.Equal((PayloadPath.LocalSocket, "tcp", 2, false), (idle.Payload, idle.Transport, idle.Streams, idle.IsEncrypted));
        Assert.Equal((0L, null, null), (idle.Rates.Handoffs, idle.ExpectedBytesPerSecond, idle.OfExpected));
        PathGroup group = Assert.Single(idle.Groups);
        // One granule of a block of 64: all heads, K and V, are one run of 2 x 2 x 64 x 64 bytes.
        Assert.Equal((3, TransferSteps.Copy, true, true, 96L + 4 * 8 + 16_384), (group.Layers, group.Steps, group.IsSentInPlace, group.LandsInPlace, group.FrameBytes));
        Assert.Equal(new RunSize(16_384, 1), Assert.Single(group.SenderRuns));
        PathWarning warning = Assert.Single(idle.Warnings);
        Assert.Equal(PathConcern.NoSharedMemory, warning.Concern);
        Assert.Contains("shm://", warning.Text, StringComparison.Ordinal);

        using KvSequence sequence = SessionFixture.Fill(f.Source, Tokens, seed: 1);
        long kvBytes = 0, wireBytes = 0;
        for (int i = 0; i < 3; i++)
        {
            (KvSequence landed, HandoffCost cost, _) = await f.HandOverAsync(sequence);
            landed.Dispose();
            kvBytes += cost.KvBytes;
            wireBytes += cost.WireBytes;
        }

        PathReport report = f.Sender.DescribePath(new LinkEstimate(0, 1e15));
        Assert.Equal((3L, kvBytes, wireBytes), (report.Rates.Handoffs, report.Rates.KvBytes, report.Rates.MovedBytes));
        Assert.Equal(wireBytes / report.Rates.Seconds, report.Rates.MeanBytesPerSecond, 1e-3);
        Assert.True(report.Rates.BestBytesPerSecond >= report.Rates.MeanBytesPerSecond);
        Assert.Equal(report.Rates.BestBytesPerSecond / 1e15, report.OfExpected!.Value, 1e-12);
        Assert.Contains(report.Warnings, w => w.Concern == PathConcern.BelowExpectation);
        Assert.DoesNotContain(f.Sender.DescribePath(new LinkEstimate(0, 1)).Warnings, w => w.Concern == PathConcern.BelowExpectation);
        string[] lines = report.ToString().Split(Environment.NewLine);
        Assert.Equal(["path", "plan", "group", "rate", "warn", "warn"], lines.Select(l => l.Split(' ')[0]));
        Assert.Contains("3 committed handoffs", lines[3], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_message_rate_lowers_what_is_expected()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        double frame = f.Sender.DescribePath().Groups[0].FrameBytes;
        Assert.Equal(frame * 1000, f.Sender.DescribePath(new LinkEstimate(0, 1e9) { MessagesPerSecond = 1000 }).ExpectedBytesPerSecond);
        Assert.Equal(1e6, f.Sender.DescribePath(new LinkEstimate(0, 1e6) { MessagesPerSecond = 1e6 }).ExpectedBytesPerSecond);
        Assert.Throws<ArgumentException>(() => f.Sender.DescribePath(new LinkEstimate(0, 0)));
    }

    [Fact]
    public async Task Gathered_short_and_lossy_rows_are_named_with_what_to_do()
    {
        KvCacheLayout packed = new(SessionFixture.Model, [PackedCase.Group("int8", 64, kvHeads: 2, headDim: 32) with { Layers = [0, 1, 2] }]);
        await using SessionFixture f = await SessionFixture.StartAsync(SessionFixture.Layout(blockTokens: 16, order: DimensionOrder.TokenMajor), packed);
        PathReport report = f.Sender.DescribePath();
        PathGroup group = Assert.Single(report.Groups);
        Assert.False(group.IsSentInPlace);
        Assert.Equal(new RunSize(64, 64 * 2 * 2), Assert.Single(group.SenderRuns));
        PathWarning gathered = Assert.Single(report.Warnings, w => w.Concern == PathConcern.GatheredRows);
        Assert.Contains("sender's order TokenMajor", gathered.Text, StringComparison.Ordinal);
        Assert.Contains(report.Warnings, w => w.Concern == PathConcern.ShortRuns && w.Text.Contains("blocks of 64 tokens or more instead of 16", StringComparison.Ordinal));
        Assert.Contains(report.Warnings, w => w.Concern == PathConcern.Lossy && w.Text.Contains("int8", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_lossy_codec_is_named()
    {
        await using SessionFixture f = await SessionFixture.StartAsync(codec: CodecId.Fp8E4M3);
        PathReport report = f.Sender.DescribePath();
        Assert.False(Assert.Single(report.Groups).IsSentInPlace);
        Assert.Contains("fp8", Assert.Single(report.Warnings, w => w.Concern == PathConcern.Lossy).Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CodecId.Raw, true, PayloadPath.SharedMemoryWindow, null)]
    [InlineData(CodecId.Auto, true, PayloadPath.SharedMemoryWindow, null)]
    [InlineData(CodecId.Fp8E4M3, true, PayloadPath.SharedMemoryRing, "fp8")]
    [InlineData(CodecId.Raw, false, PayloadPath.SharedMemoryRing, "SharedSlab")]
    public async Task A_shared_memory_path_says_whether_the_window_is_used_and_why_not(CodecId codec, bool shared, PayloadPath payload, string? because)
    {
        if (!OperatingSystem.IsLinux()) return;
        KvCacheLayout layout = SessionFixture.Layout();
        long bytes = PagedKvCache.RequiredBytes(layout, 1024);
        using SharedSlab slab = SharedSlab.Create("kvhandoff-path", bytes);
        using PagedKvCache from = PagedKvCache.Allocate(layout, 1024), to = shared ? PagedKvCache.Over(layout, slab, 1024) : PagedKvCache.Allocate(layout, 1024);
        await using KvReceiver receiver = await KvReceiver.ListenAsync($"shm://@kvhandoff-path-{Guid.NewGuid():N}", to);
        await using KvSender sender = await KvSender.ConnectAsync(receiver.Endpoint, from, new KvSenderOptions { Codec = codec });
        PathReport report = sender.DescribePath();
        Assert.Equal(payload, report.Payload);
        Assert.Equal(because is null ? 0 : 1, report.Warnings.Count(w => w.Concern == PathConcern.NoWindow));
        if (because is not null) Assert.Contains(because, report.Why, StringComparison.Ordinal);

        // What the window moves are the rows, not the frames.
        using KvSequence sequence = SessionFixture.Fill(from, Tokens, seed: 2);
        await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = Tokens });
        for (int layer = 0; layer < 3; layer++) outgoing.Publish(layer, Tokens);
        HandoffCost cost = await outgoing.CommitAsync(SessionFixture.Manifest(Tokens));
        Assert.Equal(payload == PayloadPath.SharedMemoryWindow ? cost.WireBytes + cost.KvBytes : cost.WireBytes, sender.DescribePath().Rates.MovedBytes);
    }

    [Fact]
    public async Task A_path_to_another_host_is_checked_for_streams_encryption_and_buffers()
    {
        await using SessionFixture f = await SessionFixture.StartAsync();
        PathReport remote = f.Sender.DescribePath() with { Payload = PayloadPath.Network, Transport = "tcp", Streams = 1 };
        ImmutableArray<PathWarning> warnings = Of(remote, new TransportOptions { SendBufferBytes = 65_536, ReceiveBufferBytes = 65_536 });
        Assert.Contains("KvSenderOptions.Streams", Assert.Single(warnings, w => w.Concern == PathConcern.OneStream).Text, StringComparison.Ordinal);
        Assert.Contains("tls://", Assert.Single(warnings, w => w.Concern == PathConcern.Plaintext).Text, StringComparison.Ordinal);
        Assert.Equal(2, warnings.Count(w => w.Concern == PathConcern.SmallSocketBuffers && w.Text.Contains("65536", StringComparison.Ordinal)));
        warnings = Of(remote with { Streams = 4, IsEncrypted = true }, new TransportOptions { SendBufferBytes = 4 << 20, ReceiveBufferBytes = 4 << 20 });
        Assert.Empty(warnings);

        ImmutableArray<PathWarning> Of(PathReport report, TransportOptions options) =>
            PathWarnings.Of(report, f.Sender.Plan, [KvCodecs.Raw], options, f.Source, new IPEndPoint(IPAddress.Loopback, 1));
    }

    public static TheoryData<string, int, DimensionOrder> Shapes
    {
        get
        {
            var shapes = new TheoryData<string, int, DimensionOrder>();
            foreach (string name in new[] { "bf16", "fp8", "int8", "mxfp8", "fp8-tensor" })
            {
                foreach (int block in new[] { 1, 8, 16, 64, 128 }) shapes.Add(name, block, DimensionOrder.HeadMajor);
            }

            shapes.Add("bf16", 16, DimensionOrder.PlaneHeadMajor);
            shapes.Add("bf16", 128, DimensionOrder.PlaneHeadMajor);
            return shapes;
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Runs_are_those_that_a_socket_is_given(string name, int blockTokens, DimensionOrder order)
    {
        LayerGroup group = PackedCase.Group(name, blockTokens, order);
        using PagedKvCache cache = PackedCase.Cache(group, 1024);
        // Another sequence's blocks lie between this one's.
        using KvSequence sequence = cache.CreateSequence(), other = cache.CreateSequence();
        for (int tokens = blockTokens; tokens < 128 + blockTokens; tokens += blockTokens) Assert.True(sequence.TryReserve(tokens) && other.TryReserve(tokens));
        if (group.HasTail) sequence.WriteRows(0, 0, PackedCase.Rows(group, 128, 1), PackedCase.Rows(group, 128, 2));
        sequence.Advance(128);
        var ranges = new IoRange[GranuleRows.MaxRanges(group.Geometry, group.KvHeads)];
        int count = new GranuleRows(sequence, 0, 0, 128, new IndexRange(0, group.KvHeads)).Ranges(ranges);
        IEnumerable<RunSize> expected = ranges.Take(count).GroupBy(r => (int)r.LengthBytes).Select(g => new RunSize(g.Key, g.Count())).OrderBy(r => r.Bytes);
        Assert.Equal(expected, RunSize.Of(group));
    }

    [Fact]
    public void Host_settings_are_read_from_their_texts()
    {
        Assert.Equal(4_194_304L, HostSettings.ThirdNumber("4096\t16384\t4194304\n"));
        Assert.Null(HostSettings.ThirdNumber("4096 x"));
        Assert.Null(HostSettings.ThirdNumber(null));
        const string Maps = "10000000 default anon=10 dirty=10 N0=3 N1=7 kernelpagesize_kB=4\n10100000 bind:0 file=/memfd N0=5 kernelpagesize_kB=4\n";
        Assert.Equal(1, HostSettings.NumaNodeOfMemory(Maps, 0x10000000));
        Assert.Equal(1, HostSettings.NumaNodeOfMemory(Maps, 0x100fffff));
        Assert.Equal(0, HostSettings.NumaNodeOfMemory(Maps, 0x10100000));
        Assert.Null(HostSettings.NumaNodeOfMemory(Maps, 0x1000));
        Assert.Null(HostSettings.NumaNodeOfMemory("nonsense", 0x1000));
    }
}
