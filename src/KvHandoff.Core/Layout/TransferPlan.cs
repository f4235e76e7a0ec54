using System.Collections.Immutable;
using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>What has to happen to blocks on their way from one layout to another.</summary>
[Flags]
public enum TransferSteps : byte
{
    /// <summary>Blocks travel as they lie.</summary>
    Copy = 0,

    /// <summary>The sides order rows or elements differently.</summary>
    Permute = 1,

    /// <summary>The sides have different block sizes.</summary>
    Reblock = 2,

    /// <summary>The sides store elements of different types, or with different scales.</summary>
    Transcode = 4,

    /// <summary>The transcoding rounds: what arrives is close to what was sent, not equal.</summary>
    Lossy = 8,

    /// <summary>The sides hold different layers, kv heads or tokens: a part of what one has goes to a part of the other.</summary>
    Reslice = 16,
}

/// <summary>How the rows of one layer group travel when no codec is asked for.</summary>
/// <param name="Source">The sender's group.</param>
/// <param name="Target">The receiver's group.</param>
/// <param name="KeyWire">Form of the keys on the wire: the sender's, or the receiver's 8-bit form where the sender stores wider ones.</param>
/// <param name="ValueWire">Form of the values on the wire.</param>
/// <param name="Steps">What happens on the way.</param>
public sealed record GroupTransfer(LayerGroup Source, LayerGroup Target, StorageForm KeyWire, StorageForm ValueWire, TransferSteps Steps)
{
    /// <summary>Index of the group in the whole model's layout.</summary>
    public int Group { get; init; }

    /// <summary>Index of the group in the sender's own layout.</summary>
    public int SourceGroup { get; init; }

    /// <summary>Index of the group in the receiver's own layout.</summary>
    public int TargetGroup { get; init; }

    /// <summary>Form of a plane on the wire.</summary>
    public StorageForm Wire(KvPlane plane) => plane == KvPlane.Key ? KeyWire : ValueWire;

    /// <summary>Whether rows travel as codes with scales.</summary>
    public bool WireIsScaled => KeyWire.IsScaled || (Source.Planes == 2 && ValueWire.IsScaled);

    internal static GroupTransfer Create(LayerGroup source, LayerGroup target)
    {
        // The sender packs for a receiver that stores 8 bits: half the bytes, and what arrives is stored as it comes.
        LayerGroup wire = source.ElementType.SizeBytes() > 1 && target.HasTail ? target : source;
        StorageForm keys = wire.Form(KvPlane.Key), values = wire.Form(KvPlane.Value);
        TransferSteps steps = TransferSteps.Copy;
        if (source.Order != target.Order) steps |= TransferSteps.Permute;
        if (source.BlockTokens != target.BlockTokens) steps |= TransferSteps.Reblock;
        for (int plane = 0; plane < source.Planes; plane++) steps |= Transcoding(source.Form((KvPlane)plane), target.Form((KvPlane)plane));
        return new GroupTransfer(source, target, keys, values, steps);
    }

    private static TransferSteps Transcoding(StorageForm from, StorageForm to)
    {
        if (from == to) return TransferSteps.Copy;
        bool sameCodes = from.ElementType == to.ElementType && from.ScaleKind == to.ScaleKind && from.ScaleType == to.ScaleType;
        if (sameCodes && (!from.HasStoredScales || to.TileTokens == from.TileTokens)) return TransferSteps.Copy;
        // Smaller tiles repeat a tile's scales, but pack what of the sender's tail fills them.
        if (sameCodes && to.TileTokens < from.TileTokens) return TransferSteps.Lossy;
        // Larger ones need a scale that covers several, and their tail takes up codes again.
        return IsExact(from, to) ? TransferSteps.Transcode : TransferSteps.Transcode | TransferSteps.Lossy;
    }

    private static bool IsExact(StorageForm from, StorageForm to)
    {
        if (from.IsScaled || to.IsScaled) return false;
        return (from.ElementType, to.ElementType) switch
        {
            (ElementType.BFloat16 or ElementType.Float16, ElementType.Float32) => true,
            (ElementType.Fp8E4M3 or ElementType.Fp8E5M2, ElementType.Float16 or ElementType.BFloat16 or ElementType.Float32) => true,
            _ => false,
        };
    }
}

/// <summary>How a cache of one layout becomes a cache of another: a pure function of the two descriptions.</summary>
public sealed class TransferPlan
{
    private TransferPlan(CachePart source, CachePart target, ImmutableArray<GroupTransfer> groups)
    {
        SourcePart = source;
        TargetPart = target;
        Source = source.IsAll ? source.Whole : source.Layout;
        Target = target.IsAll ? target.Whole : target.Layout;
        Groups = groups;
        foreach (GroupTransfer group in groups) Steps |= group.Steps;
        if (source.Shard with { Tokens = default } != target.Shard with { Tokens = default }) Steps |= TransferSteps.Reslice;
    }

    /// <summary>The layout of the sender's own cache.</summary>
    public KvCacheLayout Source { get; }

    /// <summary>The layout of the receiver's own cache.</summary>
    public KvCacheLayout Target { get; }

    /// <summary>Which part of the model the sender's cache is.</summary>
    public CachePart SourcePart { get; }

    /// <summary>Which part of the model the receiver's cache is.</summary>
    public CachePart TargetPart { get; }

    /// <summary>How the rows of each layer group travel that both sides hold layers of.</summary>
    public ImmutableArray<GroupTransfer> Groups { get; }

    /// <summary>The steps, over all layer groups.</summary>
    public TransferSteps Steps { get; }

    /// <summary>Plans the transfer between whole caches, or says in <paramref name="reason"/> which field of the two descriptions rules it out.</summary>
    public static bool TryCreate(KvCacheLayout source, KvCacheLayout target, out TransferPlan? plan, out string? reason) =>
        TryCreate(CachePart.All(source), CachePart.All(target), out plan, out reason);

    /// <summary>Plans the transfer between caches that are parts of a model's, or says in <paramref name="reason"/> what rules it out.</summary>
    public static bool TryCreate(CachePart source, CachePart target, out TransferPlan? plan, out string? reason)
    {
        plan = null;
        KvCacheLayout from = source.Whole, to = target.Whole;
        reason = source.Check() ?? target.Check()
            ?? Difference("model name", from.Model.Name, to.Model.Name)
            ?? Difference("model revision", from.Model.Revision, to.Model.Revision)
            ?? Difference("rope theta", from.Model.RopeTheta, to.Model.RopeTheta)
            ?? Difference("rope scaling", from.Model.RopeScaling, to.Model.RopeScaling)
            ?? Difference("layers", from.LayerCount, to.LayerCount)
            ?? Difference("layer groups", from.Groups.Length, to.Groups.Length);
        for (int g = 0; reason is null && g < from.Groups.Length; g++) reason = Difference(g, from.Groups[g], to.Groups[g]);
        if (reason is not null) return false;
        plan = new TransferPlan(source, target, Transfers(source, target));
        return true;
    }

    /// <summary>A few readable lines: both sides, the steps, and per group what travels.</summary>
    public override string ToString() => string.Join(Environment.NewLine,
    [
        $"from {Source}{Held(SourcePart)}", $"to   {Target}{Held(TargetPart)}", $"by   {Steps}",
        .. Groups.Select(g => $"group {g.Group}: {Side(g.Source)} -> {Wire(g)} -> {Side(g.Target)}"),
    ]);

    private static ImmutableArray<GroupTransfer> Transfers(CachePart source, CachePart target)
    {
        KvCacheLayout from = source.Layout, to = target.Layout;
        ImmutableArray<int> sourceGroups = source.OwnGroups(), targetGroups = target.OwnGroups();
        var transfers = ImmutableArray.CreateBuilder<GroupTransfer>();
        for (int g = 0; g < source.Whole.Groups.Length; g++)
        {
            if (sourceGroups[g] < 0 || targetGroups[g] < 0) continue;
            transfers.Add(GroupTransfer.Create(from.Groups[sourceGroups[g]], to.Groups[targetGroups[g]]) with { Group = g, SourceGroup = sourceGroups[g], TargetGroup = targetGroups[g] });
        }

        return transfers.ToImmutable();
    }

    private static string? Difference(int group, LayerGroup from, LayerGroup to) =>
        Difference($"group {group}: attention kind", from.Kind, to.Kind)
        ?? Difference($"group {group}: layers", string.Join(',', from.Layers), string.Join(',', to.Layers))
        ?? Difference($"group {group}: kv heads", from.KvHeads, to.KvHeads)
        ?? Difference($"group {group}: head dim", from.HeadDim, to.HeadDim)
        ?? Difference($"group {group}: window tokens", from.WindowTokens, to.WindowTokens);

    private static string Held(CachePart part) => part.IsAll ? "" : $", layers {part.Shard.Layers} and kv heads {part.Shard.KvHeads} of {part.Whole.LayerCount} and {KvShard.WidestHeads(part.Whole)}";

    private static string Side(LayerGroup group) => $"{Forms(group.Form(KvPlane.Key), group.Form(KvPlane.Value), group.Planes)}, {group.Order}, blocks of {group.BlockTokens}";

    private static string Wire(GroupTransfer group) => Forms(group.KeyWire, group.ValueWire, group.Source.Planes);

    private static string Forms(StorageForm keys, StorageForm values, int planes) => planes == 1 || keys == values ? $"{keys}" : $"K {keys}, V {values}";

    private static string? Difference<T>(string field, T sender, T receiver) =>
        EqualityComparer<T>.Default.Equals(sender, receiver) ? null : $"{field} differs: sender {sender}, receiver {receiver}.";
}
