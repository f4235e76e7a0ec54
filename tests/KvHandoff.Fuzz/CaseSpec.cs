using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>One case, drawn from the seed and its number alone.</summary>
internal sealed record CaseSpec
{
    private static readonly ModelIdentity Model = new("lab", "0123abcd", 10000);
    private static readonly int[] BlockSizes = [1, 8, 16, 32, 64, 128];
    private static readonly DimensionOrder[] Orders = [DimensionOrder.HeadMajor, DimensionOrder.TokenMajor, DimensionOrder.PlaneHeadMajor];
    private static readonly ElementType[] Types = [ElementType.BFloat16, ElementType.BFloat16, ElementType.Float16, ElementType.Float32];
    private static readonly CodecId[] Codecs = [CodecId.Raw, CodecId.Raw, CodecId.Fp8E4M3, CodecId.Int8, CodecId.MxFp8, CodecId.ExponentWindow, CodecId.Lz4];

    internal required int Number { get; init; }

    internal required int Seed { get; init; }

    internal required LabFault Fault { get; init; }

    internal required KvCacheLayout Source { get; init; }

    internal required KvCacheLayout Target { get; init; }

    internal required TransferPlan Plan { get; init; }

    internal required int Tokens { get; init; }

    internal required CodecId Codec { get; init; }

    internal int Streams { get; init; } = 1;

    internal TimeSpan Resume { get; init; }

    /// <summary>Where the network's fault is.</summary>
    internal ScriptedFault? Script { get; init; }

    /// <summary>Layers that are published before the host does what it should not.</summary>
    internal int LayersBefore { get; init; }

    internal int Frames => Target.LayerCount * KvSegment.GranuleCount(Tokens);

    internal bool IsNetworkFault => Fault is >= LabFault.Drop and <= LabFault.DisconnectAfter;

    /// <summary>Whether something may be lost in silence, so that only a deadline ends it.</summary>
    internal bool MayStall => Fault is LabFault.Drop or LabFault.Stall or LabFault.Reorder or LabFault.NeverCommits or LabFault.ReceiverRestart or LabFault.DisposeSender or LabFault.Flip or LabFault.NoRoom or LabFault.LateWriter;

    /// <summary>Two ends of the same connection race here, whatever the lab does: whether the last message is read before the end is seen.</summary>
    internal bool IsRace { get; init; }

    internal static CaseSpec Draw(LabOptions options, int number)
    {
        int seed = (int)((options.Seed * 0x9E3779B97F4A7C15 + (ulong)number * 0xBF58476D1CE4E5B9) >> 33);
        var random = new Random(seed);
        LabFault fault = DrawFault(options, random);
        int layers = random.Next(1, 4), heads = random.Next(1, 4), dim = random.Next(2) == 0 ? 32 : 64;
        ElementType type = Types[random.Next(Types.Length)];
        KvCacheLayout source = Layout(random, layers, heads, dim, type), target = Layout(random, layers, heads, dim, random.Next(4) == 0 ? ElementType.BFloat16 : type);
        bool plain = fault is LabFault.StaleFrames or LabFault.LateWriter;
        if (plain) source = target = Layout(random, layers, heads, dim, ElementType.BFloat16);
        if (!TransferPlan.TryCreate(source, target, out TransferPlan? plan, out _)) TransferPlan.TryCreate(source, target = source, out plan, out _);
        int tokens = random.Next(1, 200);
        CodecId codec = plain ? CodecId.Raw : Codecs[random.Next(Codecs.Length)];
        if (!KvCodecs.TryGet(codec, out IKvCodec? known) || HandoffShape.Refusal(plan!, tokens, [known]) is not null) codec = CodecId.Raw;
        int frames = layers * KvSegment.GranuleCount(tokens);
        var spec = new CaseSpec
        {
            Number = number,
            Seed = seed,
            Fault = fault,
            Source = source,
            Target = target,
            Plan = plan!,
            Tokens = tokens,
            Codec = codec,
            LayersBefore = random.Next(layers + 1),
            Resume = random.Next(3) == 0 ? TimeSpan.FromSeconds(5) : TimeSpan.Zero,
            // A sender that leaves says so, and closes: a receiver that would wait for it may see either first.
            IsRace = fault == LabFault.DisposeSender,
            Streams = fault is >= LabFault.Drop and <= LabFault.DisconnectAfter ? 1 : random.Next(1, 4),
        };
        return spec.IsNetworkFault ? spec.WithScript(random, frames) : spec;
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

    // Connection 0 is the control connection: preface, hello, offer, finish; welcome, grant, verdict. Connection 1 has the frames.
    private CaseSpec WithScript(Random random, int frames)
    {
        var kind = (FaultKind)(Fault - LabFault.Drop);
        (FaultSides side, int connection, long message) = random.Next(8) switch
        {
            0 => (FaultSides.Connecting, 0, 2),
            1 => (FaultSides.Connecting, 0, 3),
            2 => (FaultSides.Accepting, 0, 1),
            3 => (FaultSides.Accepting, 0, 2),
            _ => (FaultSides.Connecting, 1, random.Next(1, frames + 1)),
        };
        return this with
        {
            Script = new ScriptedFault(side, connection, message, kind),
            // The verdict and the last words of a connection; and an offer that comes after its sender has given up.
            IsRace = (connection == 0 && (kind == FaultKind.Reorder || message + (side == FaultSides.Accepting ? 1 : 0) == 3)) || kind is FaultKind.Stall or FaultKind.Truncate or FaultKind.DisconnectAfter or FaultKind.DisconnectBefore or FaultKind.Flip,
        };
    }

    private static KvCacheLayout Layout(Random random, int layers, int heads, int dim, ElementType type) =>
        KvCacheLayout.Uniform(Model, layers, heads, dim, type, BlockSizes[random.Next(BlockSizes.Length)], Orders[random.Next(Orders.Length)]);
}
