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
}

/// <summary>How the rows of one layer group travel when no codec is asked for.</summary>
/// <param name="Source">The sender's group.</param>
/// <param name="Target">The receiver's group.</param>
/// <param name="KeyWire">Form of the keys on the wire: the sender's, or the receiver's 8-bit form where the sender stores wider ones.</param>
/// <param name="ValueWire">Form of the values on the wire.</param>
/// <param name="Steps">What happens on the way.</param>
public sealed record GroupTransfer(LayerGroup Source, LayerGroup Target, StorageForm KeyWire, StorageForm ValueWire, TransferSteps Steps)
{
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
    private TransferPlan(KvCacheLayout source, KvCacheLayout target, ImmutableArray<GroupTransfer> groups)
    {
        Source = source;
        Target = target;
        Groups = groups;
        foreach (GroupTransfer group in groups) Steps |= group.Steps;
    }

    /// <summary>The sender's layout.</summary>
    public KvCacheLayout Source { get; }

    /// <summary>The receiver's layout.</summary>
    public KvCacheLayout Target { get; }

    /// <summary>How the rows of each layer group travel.</summary>
    public ImmutableArray<GroupTransfer> Groups { get; }

    /// <summary>The steps, over all layer groups.</summary>
    public TransferSteps Steps { get; }

    /// <summary>Plans the transfer, or says in <paramref name="reason"/> which field of the two descriptions rules it out.</summary>
    public static bool TryCreate(KvCacheLayout source, KvCacheLayout target, out TransferPlan? plan, out string? reason)
    {
        plan = null;
        reason = Difference("model name", source.Model.Name, target.Model.Name)
            ?? Difference("model revision", source.Model.Revision, target.Model.Revision)
            ?? Difference("rope theta", source.Model.RopeTheta, target.Model.RopeTheta)
            ?? Difference("rope scaling", source.Model.RopeScaling, target.Model.RopeScaling)
            ?? Difference("layers", source.LayerCount, target.LayerCount)
            ?? Difference("layer groups", source.Groups.Length, target.Groups.Length);
        for (int g = 0; reason is null && g < source.Groups.Length; g++)
        {
            LayerGroup from = source.Groups[g], to = target.Groups[g];
            reason = Difference($"group {g}: attention kind", from.Kind, to.Kind)
                ?? Difference($"group {g}: layers", string.Join(',', from.Layers), string.Join(',', to.Layers))
                ?? Difference($"group {g}: kv heads", from.KvHeads, to.KvHeads)
                ?? Difference($"group {g}: head dim", from.HeadDim, to.HeadDim)
                ?? Difference($"group {g}: window tokens", from.WindowTokens, to.WindowTokens);
        }

        if (reason is not null) return false;
        plan = new TransferPlan(source, target, [.. source.Groups.Select((from, g) => GroupTransfer.Create(from, target.Groups[g]))]);
        return true;
    }

    /// <summary>A few readable lines: both sides, the steps, and per group what travels.</summary>
    public override string ToString() => string.Join(Environment.NewLine,
    [
        $"from {Source}", $"to   {Target}", $"by   {Steps}",
        .. Groups.Select((g, i) => $"group {i}: {Side(g.Source)} -> {Wire(g)} -> {Side(g.Target)}"),
    ]);

    private static string Side(LayerGroup group) => $"{Forms(group.Form(KvPlane.Key), group.Form(KvPlane.Value), group.Planes)}, {group.Order}, blocks of {group.BlockTokens}";

    private static string Wire(GroupTransfer group) => Forms(group.KeyWire, group.ValueWire, group.Source.Planes);

    private static string Forms(StorageForm keys, StorageForm values, int planes) => planes == 1 || keys == values ? $"{keys}" : $"K {keys}, V {values}";

    private static string? Difference<T>(string field, T sender, T receiver) =>
        EqualityComparer<T>.Default.Equals(sender, receiver) ? null : $"{field} differs: sender {sender}, receiver {receiver}.";
}
