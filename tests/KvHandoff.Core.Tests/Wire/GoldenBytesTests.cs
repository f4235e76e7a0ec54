using System.Text;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Wire;

/// <summary>
/// The bytes of version 1, committed as hex. They may only change with the version: peers of another build must read them.
/// KVHANDOFF_WRITE_GOLDEN=1 writes the files instead of comparing.
/// </summary>
public class GoldenBytesTests
{
    private static readonly Guid Id = new("00112233-4455-6677-8899-aabbccddeeff");

    private static readonly KvCacheLayout Layout = new(new ModelIdentity("tiny", "sha256:00ff", 500000, "llama3"),
    [
        new LayerGroup { Layers = [0, 2], KvHeads = 8, HeadDim = 128 },
        new LayerGroup
        {
            Kind = AttentionKind.SlidingWindow, Layers = [1], KvHeads = 4, HeadDim = 64, BlockTokens = 16, WindowTokens = 4096,
            ElementType = ElementType.Fp8E4M3, KeyScaleKind = ScaleKind.PerTokenHead, ValueScaleKind = ScaleKind.PerTokenHead, Order = DimensionOrder.TokenMajor,
        },
        new LayerGroup { Kind = AttentionKind.Latent, Layers = [3], KvHeads = 1, HeadDim = 576 },
    ]);

    private static readonly CachePart Part = new(Layout, new KvShard(new IndexRange(0, 2), new IndexRange(0, 4), default));

    private static readonly Dictionary<string, byte[]> Samples = new()
    {
        ["preface-control"] = Preface(ConnectionPreface.Control),
        ["preface-data"] = Preface(ConnectionPreface.Data(3, 0x0102030405060708, Id)),
        ["frame"] = Frame(),
        ["hello"] = SampleMessages.Encode(new Hello(Layout, "prefill-0", 4)),
        ["welcome"] = SampleMessages.Encode(new Welcome(7, Id, Layout, 2, "decode-ä")),
        ["offer"] = SampleMessages.Encode(new Offer(Id, 3100, KvShard.Whole(Layout, 3100), CodecId.Fp8E4M3, 30_000, "req-1", 5)),
        ["grant"] = SampleMessages.Encode(new Grant(Id, 42, 10_000, [[1, 2, 3], [], [0xFFFFFFFF]], 1L << 30)),
        ["reject"] = SampleMessages.Encode(new Reject(Id, RejectReason.NoSpace, "too few blocks", 1000, 10, 250)),
        ["finish"] = SampleMessages.Encode(new Finish(Id, 42, new HandoffManifest([1, 2, 3, 70000], 4, 99, new byte[] { 1, 2, 3 }, "{\"a\":1}"u8.ToArray()))),
        ["committed"] = SampleMessages.Encode(new Committed(Id, 42, 1_000_000, 1_000_100, 64, 0xDEADBEEF, [1, 2, 3_000_000_000])),
        ["abort"] = SampleMessages.Encode(new Abort(Id, 42, AbortReason.Corrupt, "segment 3")),
        ["renew"] = SampleMessages.Encode(new Renew(Id, 42, 5000)),
        ["query"] = SampleMessages.Encode(new Query(Id)),
        ["outcome"] = SampleMessages.Encode(new Outcome(Id, HandoffOutcome.Committed, "")),
        ["fault"] = SampleMessages.Encode(new Fault(WireErrorCode.BadVersion, "version 2; this side speaks 1")),
        ["released"] = SampleMessages.Encode(new Released(Id, 42)),
        ["prepared"] = SampleMessages.Encode(new Prepared(Id, 3, true, "")),
        ["decision"] = SampleMessages.Encode(new Decision(Id, HandoffOutcome.Expired, "receiver 2 was not heard of")),
        ["hello-shard"] = SampleMessages.Encode(new Hello(Part.Layout, "prefill-1", 4) { Shard = ShardCodec.Write(Part), IsGroupMember = true }),
        ["welcome-shard"] = SampleMessages.Encode(new Welcome(7, Id, Part.Layout, 2, "decode-1") { Shard = ShardCodec.Write(Part), Window = new byte[] { 1, 2, 3 } }),
        ["welcome-trust"] = SampleMessages.Encode(new Welcome(7, Id, Layout, 2, "decode-ä") { Window = new byte[] { 1, 2, 3 }, TrustsSameHost = true }),
        ["offer-all"] = SampleMessages.Encode(new Offer(Id, 3100, KvShard.Whole(Layout, 3100), CodecId.Raw, 30_000, "req-1", 5)
        {
            Intent = HandoffIntent.Migrate,
            WaitMilliseconds = 500,
            ResumeMilliseconds = 10_000,
            ResumeLease = 42,
            PrefixHashes = Enumerable.Range(0, 32).Select(i => (byte)i).ToArray(),
            Ticket = "ticket"u8.ToArray(),
            Group = new HandoffGroup([KvShard.Whole(Layout, 3100)], [Part.Shard with { Tokens = new IndexRange(0, 3100), GroupHeads = [new(0, 4), new(0, 2), new(0, 1)] }], 0, 0, 0).ToBytes(),
        }),
        ["offer-trace"] = SampleMessages.Encode(new Offer(Id, 3100, KvShard.Whole(Layout, 3100), CodecId.Raw, 30_000, "req-1", 5)
        {
            TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }),
        ["grant-all"] = SampleMessages.Encode(new Grant(Id, 42, 10_000, [[1], [2], [3]], 1L << 30) { ReusedTokens = 1280, Landed = new byte[] { 0xFF, 0x01 }, Slots = [[7, 8], [9], []] }),
        ["finish-canary"] = SampleMessages.Encode(new Finish(Id, 42, new HandoffManifest([1], 1)) { Canary = new byte[] { 4, 5, 6 } }),
        ["prepared-states"] = SampleMessages.Encode(new Prepared(Id, 3, true, "") { CanaryStates = new byte[] { 7, 8, 9 } }),
        ["decision-reason"] = SampleMessages.Encode(new Decision(Id, HandoffOutcome.Aborted, "layer 3, head 1") { Reason = AbortReason.Corrupt }),
        ["frame-placed"] = Frame(placed: true),
    };

    public static TheoryData<string> Names => [.. Samples.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Bytes_are_those_of_version_1(string name)
    {
        string path = Path.Combine(GoldenFolder(), name + ".hex");
        if (Environment.GetEnvironmentVariable("KVHANDOFF_WRITE_GOLDEN") == "1")
        {
            var text = new StringBuilder();
            foreach (byte[] line in Samples[name].Chunk(32)) text.Append(Convert.ToHexStringLower(line)).Append('\n');
            File.WriteAllText(path, text.ToString());
        }

        byte[] golden = Convert.FromHexString(File.ReadAllText(path).ReplaceLineEndings(""));
        Assert.Equal(Convert.ToHexStringLower(golden), Convert.ToHexStringLower(Samples[name]));
    }

    [Fact]
    public void Every_file_and_every_message_type_has_a_sample()
    {
        Assert.Equal(Samples.Keys.Order(), Directory.GetFiles(GoldenFolder(), "*.hex").Select(f => Path.GetFileNameWithoutExtension(f)).Order());
        foreach (ControlMessageType type in SampleMessages.Types) Assert.True(Samples.ContainsKey(type.ToString().ToLowerInvariant()), type.ToString());
    }

    [Fact]
    public void A_query_is_what_the_document_shows() => Assert.Equal(
        HandmadeMessage.Seal(ControlMessageType.Query, HandmadeMessage.Field(0x8001, Convert.FromHexString("00112233445566778899AABBCCDDEEFF"))), Samples["query"]);

    private static byte[] Preface(ConnectionPreface preface)
    {
        var bytes = new byte[ConnectionPreface.Bytes];
        preface.Write(bytes);
        return bytes;
    }

    private static byte[] Frame(bool placed = false)
    {
        SegmentEntry[] entries = [new(0x11111111, 68), new(0x22222222, 68), new(0x33333333, 68), new(0x44444444, 68)];
        return FrameTests.Bytes(new FrameHeader
        {
            Codec = CodecId.Fp8E4M3,
            Flags = CodecFlags.HadNaN,
            IsPlaced = placed,
            ElementType = ElementType.BFloat16,
            Planes = 2,
            Tokens = 4,
            HeadDim = 13,
            FirstHead = 6,
            HeadCount = 2,
            Layer = 79,
            Granule = 48,
            Sequence = 1000,
            HandoffId = Id,
            Epoch = 7,
            LeaseId = 42,
            SlotGeneration = 9,
            PayloadBytes = 4 * 68,
            TableCrc = SegmentTable.Write(entries, new byte[entries.Length * SegmentEntry.Bytes]),
        }, entries);
    }

    private static string GoldenFolder()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "KvHandoff.sln"))) folder = folder.Parent;
        Assert.NotNull(folder);
        return Path.Combine(folder.FullName, "tests", "KvHandoff.Core.Tests", "Wire", "golden");
    }
}
