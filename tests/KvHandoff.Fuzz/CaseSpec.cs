using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>Who hands over to whom in a case.</summary>
internal enum CaseKind
{
    /// <summary>One sender, one receiver.</summary>
    Pair,

    /// <summary>One sender writes straight into the receiver's blocks.</summary>
    InPlace,

    /// <summary>One or two senders and two or three receivers of parts, with a coordinator.</summary>
    Group,
}

/// <summary>One case, drawn from the seed and its number alone.</summary>
internal sealed record CaseSpec
{
    private static readonly CodecId[] Codecs = [CodecId.Raw, CodecId.Raw, CodecId.Fp8E4M3, CodecId.Int8, CodecId.MxFp8, CodecId.ExponentWindow, CodecId.Lz4];

    // Tensor and context parallel of the senders, and of the receivers.
    private static readonly (int, int, int, int)[] Splits = [(1, 1, 2, 1), (1, 1, 1, 2), (1, 1, 1, 3), (2, 1, 1, 2), (1, 2, 2, 1), (1, 2, 1, 3), (2, 1, 2, 1), (1, 2, 1, 2)];

    internal required int Number { get; init; }

    internal required int Seed { get; init; }

    internal required LabFault Fault { get; init; }

    internal required CaseKind Kind { get; init; }

    internal required CacheForm Form { get; init; }

    internal required KvCacheLayout Source { get; init; }

    internal required KvCacheLayout Target { get; init; }

    internal required TransferPlan Plan { get; init; }

    internal required int Tokens { get; init; }

    internal required CodecId Codec { get; init; }

    internal int Streams { get; init; } = 1;

    internal TimeSpan Resume { get; init; }

    /// <summary>What the senders of a group hold, and the receivers.</summary>
    internal ImmutableArray<KvShard> Sources { get; private init; } = [];

    /// <summary>See <see cref="Sources"/>.</summary>
    internal ImmutableArray<KvShard> Targets { get; private init; } = [];

    /// <summary>Which of several senders or receivers it is about.</summary>
    internal int Who { get; init; }

    /// <summary>Whether the receivers of a group compare attention.</summary>
    internal bool HasCanary { get; init; }

    /// <summary>Where the network's fault is.</summary>
    internal ScriptedFault? Script { get; init; }

    /// <summary>Layers that are published before the host does what it should not.</summary>
    internal int LayersBefore { get; init; }

    internal bool IsNetworkFault => Fault is >= LabFault.Drop and <= LabFault.DisconnectAfter;

    /// <summary>Whether something may be lost in silence, so that only a deadline ends it.</summary>
    internal bool MayStall => Kind == CaseKind.Group || Fault is LabFault.Drop or LabFault.Stall or LabFault.Reorder or LabFault.NeverCommits or LabFault.ReceiverRestart or LabFault.DisposeSender or LabFault.Flip or LabFault.NoRoom or LabFault.LateWriter;

    internal static CaseSpec Draw(LabOptions options, int number)
    {
        int seed = (int)((options.Seed * 0x9E3779B97F4A7C15 + (ulong)number * 0xBF58476D1CE4E5B9) >> 33);
        var random = new Random(seed);
        LabFault fault = DrawFault(options, random);
        bool handmade = fault is LabFault.StaleFrames or LabFault.LateWriter;
        CaseKind kind = DrawKind(options, random, fault);
        CacheForm form = handmade ? CacheForm.Plain : random.Next(8) switch { < 4 => CacheForm.Plain, < 6 => CacheForm.Packed, 6 => CacheForm.Latent, _ => CacheForm.Mixed };
        // Parts are cut out of whole caches row by row, which those with tails do not allow.
        if (kind == CaseKind.Group && form == CacheForm.Packed) form = CacheForm.Plain;
        int kvHeads = kind == CaseKind.Group ? 2 * random.Next(1, 3) : random.Next(1, 4);
        (KvCacheLayout source, KvCacheLayout target, TransferPlan plan) = CaseLayouts.Draw(random, form, kvHeads);
        if (handmade) TransferPlan.TryCreate(source = target = CaseLayouts.Simple(random, kvHeads), target, out plan!, out _);
        int tokens = kind == CaseKind.Group ? random.Next(130, 300) : random.Next(1, 200);
        CodecId codec = handmade || kind == CaseKind.InPlace ? CodecId.Raw : Codecs[random.Next(Codecs.Length)];
        if (!KvCodecs.TryGet(codec, out IKvCodec? known) || HandoffShape.Refusal(plan, tokens, [known]) is not null) codec = CodecId.Raw;
        (int tp, int cp, int toTp, int toCp) = Splits[random.Next(Splits.Length)];
        var spec = new CaseSpec
        {
            Number = number,
            Seed = seed,
            Fault = fault,
            Kind = kind,
            Form = form,
            Source = source,
            Target = target,
            Plan = plan,
            Tokens = tokens,
            Codec = codec,
            Sources = kind == CaseKind.Group ? Split(source, tokens, tp, cp) : [],
            Targets = kind == CaseKind.Group ? Split(target, tokens, toTp, toCp) : [],
            Who = random.Next(6),
            HasCanary = random.Next(2) == 0,
            LayersBefore = random.Next(source.LayerCount + 1),
            // Senders of a group that come back at the same time would race for the numbers that scripts name connections by.
            Resume = random.Next(3) == 0 && (kind != CaseKind.Group || tp * cp == 1) ? TimeSpan.FromSeconds(5) : TimeSpan.Zero,
            Streams = kind == CaseKind.Group || fault is >= LabFault.Drop and <= LabFault.DisconnectAfter ? 1 : random.Next(1, 4),
        };
        return spec.IsNetworkFault ? spec.WithScript(random) : spec;
    }

    private static LabFault DrawFault(LabOptions options, Random random)
    {
        // What a missing guard lets happen comes in every second case.
        if (options.Without != Guards.None && random.Next(2) == 0)
            return options.Without.HasFlag(Guards.Fences) ? LabFault.StaleFrames : options.Without.HasFlag(Guards.Checksums) ? LabFault.Flip : LabFault.LateWriter;
        int kinds = (int)(options.Transport == "shm" ? LabFault.LateWriter : LabFault.StaleFrames);
        int draw = random.Next(kinds + 4);
        return draw > kinds ? LabFault.None : (LabFault)draw;
    }

    private static CaseKind DrawKind(LabOptions options, Random random, LabFault fault)
    {
        int draw = random.Next(10);
        // These are about one sender's handmade frames, or the one receiver's room.
        if (options.Without != Guards.None || fault is LabFault.StaleFrames or LabFault.LateWriter or LabFault.TooLong or LabFault.NoRoom) return CaseKind.Pair;
        if (draw < 2) return CaseKind.Group;
        return draw < 4 && options.Transport == "shm" ? CaseKind.InPlace : CaseKind.Pair;
    }

    // Of a pair, connection 0 is the control connection: preface, hello, offer, finish; welcome, grant, verdict. Connection 1 has the frames. The pairs of a group
    // connect one after the other, and after them the members to their coordinator: preface, hello, prepared; welcome, decision.
    private CaseSpec WithScript(Random random)
    {
        var kind = (FaultKind)(Fault - LabFault.Drop);
        int pairs = Kind != CaseKind.Group ? 1 : PairCount();
        int frames = Math.Max(1, Target.LayerCount * KvSegment.GranuleCount(Tokens) / (Kind == CaseKind.Group ? 4 : 1));
        int control = 2 * (Who % pairs);
        (FaultSides side, int connection, long message) = random.Next(Kind == CaseKind.Group ? 10 : 8) switch
        {
            0 => (FaultSides.Connecting, control, 2),
            1 => (FaultSides.Connecting, control, 3),
            2 => (FaultSides.Accepting, control, 1),
            3 => (FaultSides.Accepting, control, 2),
            8 => (FaultSides.Connecting, 2 * pairs, 2),
            9 => (FaultSides.Accepting, 2 * pairs, 1),
            _ => (FaultSides.Connecting, control + 1, random.Next(1, frames + 1)),
        };
        return this with { Script = new ScriptedFault(side, connection, message, kind) };
    }

    /// <summary>How many pairs of a sender and a receiver have something to exchange.</summary>
    private int PairCount() => ShardPlan.TryCreate(Source, Tokens, Sources.AsSpan(), Targets.AsSpan(), out ShardPlan? shards, out string? reason)
        ? shards!.Pairs.Length
        : throw new InvalidOperationException(reason);

    private static ImmutableArray<KvShard> Split(KvCacheLayout layout, int tokens, int tp, int cp) =>
        [.. Enumerable.Range(0, tp * cp).Select(i => KvShard.TensorParallel(layout, tokens, i % tp, tp).ContextParallel(i / tp, cp))];
}
