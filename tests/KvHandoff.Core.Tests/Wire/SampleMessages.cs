using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Wire;

namespace KvHandoff.Core.Tests.Wire;

/// <summary>Control messages of every type with contents drawn from a seed.</summary>
internal static class SampleMessages
{
    public static readonly ControlMessageType[] Types = Enum.GetValues<ControlMessageType>();

    public static ControlMessage Draw(ControlMessageType type, Random random) => type switch
    {
        ControlMessageType.Hello => new Hello(Layout(random), Text(random), random.Next(1, 65)),
        ControlMessageType.Welcome => new Welcome(UInt64(random), Id(random), Layout(random), random.Next(1, 65), Text(random)),
        ControlMessageType.Offer => Offer(random),
        ControlMessageType.Grant => new Grant(Id(random), UInt64(random), random.NextInt64(WireConstants.MaxMilliseconds + 1),
            [.. Enumerable.Range(0, random.Next(5)).Select(_ => Generations(random))], random.NextInt64()),
        ControlMessageType.Reject => new Reject(Id(random), (RejectReason)random.Next(1, 8), Text(random), random.NextInt64(), random.NextInt64(), random.Next()),
        ControlMessageType.Finish => new Finish(Id(random), UInt64(random), Manifest(random)),
        ControlMessageType.Committed => new Committed(Id(random), UInt64(random), random.NextInt64(), random.NextInt64(), random.NextInt64(),
            (uint)random.NextInt64(1L << 32), [.. Enumerable.Range(0, random.Next(12)).Select(_ => random.NextInt64())]),
        ControlMessageType.Abort => new Abort(Id(random), UInt64(random), (AbortReason)random.Next(1, 8), Text(random)),
        ControlMessageType.Renew => new Renew(Id(random), UInt64(random), random.Next()),
        ControlMessageType.Query => new Query(Id(random)),
        ControlMessageType.Outcome => new Outcome(Id(random), (HandoffOutcome)random.Next(6), Text(random)),
        ControlMessageType.Fault => new Fault((WireErrorCode)random.Next(9), Text(random)),
        ControlMessageType.Released => new Released(Id(random), UInt64(random)),
        ControlMessageType.Prepared => new Prepared(Id(random), random.Next(WireConstants.MaxGroupWorkers), random.Next(2) == 0, Text(random)),
        ControlMessageType.Decision => new Decision(Id(random), (HandoffOutcome)random.Next(2, 5), Text(random)),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown type"),
    };

    /// <summary>As <see cref="Draw"/>, with some of the fields that may be left out.</summary>
    public static ControlMessage DrawWithOptions(ControlMessageType type, Random random) => Draw(type, random) switch
    {
        Hello m => m with { Shard = Maybe(random, () => Bytes(random, 90)), IsGroupMember = random.Next(2) == 0 },
        Welcome m => m with { Shard = Maybe(random, () => Bytes(random, 90)), Window = Maybe(random, () => Bytes(random, 90)) },
        Offer m => m with
        {
            Intent = (HandoffIntent)random.Next(4),
            WaitMilliseconds = random.Next(2) * random.Next(),
            ResumeMilliseconds = random.Next(2) * random.Next(),
            ResumeLease = random.Next(2) == 0 ? 0 : UInt64(random),
            PrefixHashes = new byte[16 * random.Next(5)],
            Ticket = Maybe(random, () => Bytes(random, 200)),
            Group = Maybe(random, () => Group(random).ToBytes().Memory.ToArray()),
            TraceParent = random.Next(2) == 0 ? "" : $"00-{Convert.ToHexStringLower(Bytes(random, 17, 16))}-{Convert.ToHexStringLower(Bytes(random, 9, 8))}-01",
        },
        Grant m => m with
        {
            ReusedTokens = 64 * random.Next(3),
            Landed = Maybe(random, () => Bytes(random, 40)),
            Slots = random.Next(2) == 0 ? [] : [Generations(random), Generations(random)],
        },
        Finish m => m with { Canary = Maybe(random, () => Bytes(random, 300)) },
        Prepared m => m with { CanaryStates = Maybe(random, () => Bytes(random, 300)) },
        Decision m => m with { Reason = (AbortReason)random.Next(1, 8) },
        ControlMessage m => m,
    };

    public static HandoffGroup Group(Random random)
    {
        int sources = random.Next(1, 6), targets = random.Next(1, 6);
        return new HandoffGroup([.. Enumerable.Range(0, sources).Select(_ => Shard(random))], [.. Enumerable.Range(0, targets).Select(_ => Shard(random))],
            random.Next(sources), random.Next(targets), random.Next(targets));
    }

    private static KvShard Shard(Random random)
    {
        var shard = new KvShard(Range(random, LayerGroup.MaxLayers), Range(random, LayerGroup.MaxKvHeads), Range(random, WireConstants.MaxTokens));
        return random.Next(2) == 0 ? shard : shard with { GroupHeads = [Range(random, 8), Range(random, 8)] };
    }

    private static ByteValue Maybe(Random random, Func<byte[]> draw) => random.Next(2) == 0 ? default(ByteValue) : draw();

    public static HandoffManifest Manifest(Random random) => new(
        [.. Enumerable.Range(0, random.Next(60)).Select(_ => random.Next())], random.Next(WireConstants.MaxTokens + 1), random.Next(-1, 1000),
        Bytes(random, 40), Bytes(random, 80));

    public static KvCacheLayout Layout(Random random)
    {
        int groupCount = random.Next(1, 5), next = 0;
        var members = new List<int>[groupCount];
        for (int g = 0; g < groupCount; g++) members[g] = [];
        for (int g = 0; g < groupCount; g++) members[g].Add(next++);
        for (int more = random.Next(30); more > 0; more--) members[random.Next(groupCount)].Add(next++);
        return new KvCacheLayout(new ModelIdentity(Name(random), Name(random), random.NextDouble() * 1e6, random.Next(2) == 0 ? "" : Name(random)),
            [.. members.Select(layers => Group(random, layers))]);
    }

    public static byte[] Encode(ControlMessage message)
    {
        var output = new System.Buffers.ArrayBufferWriter<byte>();
        ControlWriter.Encode(message, output);
        return output.WrittenSpan.ToArray();
    }

    private static LayerGroup Group(Random random, List<int> layers)
    {
        var kind = (AttentionKind)random.Next(1, 4);
        var element = (ElementType)random.Next(1, 7);
        bool stored = random.Next(2) == 0;
        (ScaleKind keys, ScaleKind values) = element.SizeBytes() == 1 ? (Scales(random, stored), Scales(random, stored)) : (ScaleKind.None, ScaleKind.None);
        return new LayerGroup
        {
            Kind = kind,
            Layers = [.. layers],
            KvHeads = kind == AttentionKind.Latent ? 1 : random.Next(1, 65),
            HeadDim = 16 * random.Next(1, 37),
            BlockTokens = 1 << random.Next(0, 9),
            WindowTokens = kind == AttentionKind.SlidingWindow ? random.Next(1, 100_000) : 0,
            ElementType = element,
            KeyScaleKind = keys,
            ValueScaleKind = values,
            ScaleType = (ScaleType)random.Next(1, 3),
            Order = (DimensionOrder)random.Next(1, 6),
        };
    }

    // In the blocks for both planes or for neither.
    private static ScaleKind Scales(Random random, bool stored) => (ScaleKind)((int)(stored ? ScaleKind.PerTokenHead : ScaleKind.PerTensor) + random.Next(2));

    private static Offer Offer(Random random)
    {
        int tokens = random.Next(1, WireConstants.MaxTokens + 1);
        var shard = new KvShard(Range(random, LayerGroup.MaxLayers), Range(random, LayerGroup.MaxKvHeads), Range(random, tokens));
        return new Offer(Id(random), tokens, shard, (CodecId)random.Next(2), random.NextInt64(WireConstants.MaxMilliseconds + 1), Text(random), (byte)random.Next(256));
    }

    private static IndexRange Range(Random random, int bound)
    {
        int start = random.Next(bound);
        return new IndexRange(start, random.Next(1, bound - start + 1));
    }

    private static ImmutableArray<uint> Generations(Random random) =>
        [.. Enumerable.Range(0, random.Next(20)).Select(_ => (uint)random.NextInt64(1L << 32))];

    private static ulong UInt64(Random random) => (ulong)random.NextInt64(long.MinValue, long.MaxValue);

    private static Guid Id(Random random) => new(Bytes(random, 17, 16));

    private static byte[] Bytes(Random random, int below, int least = 0)
    {
        var bytes = new byte[random.Next(least, below)];
        random.NextBytes(bytes);
        return bytes;
    }

    private static string Name(Random random) => "m" + Text(random);

    private static string Text(Random random)
    {
        const string Alphabet = "abc/-. 0189äß€漢字";
        return string.Concat(Enumerable.Range(0, random.Next(24)).Select(_ => random.Next(12) == 0 ? "🙂" : Alphabet[random.Next(Alphabet.Length)].ToString()));
    }
}
