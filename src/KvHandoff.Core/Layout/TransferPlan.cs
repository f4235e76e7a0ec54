using KvHandoff.Numerics;

namespace KvHandoff.Layout;

/// <summary>What has to happen to blocks on their way from one layout to another.</summary>
[Flags]
public enum TransferSteps : byte
{
    /// <summary>Blocks travel as they lie.</summary>
    Copy = 0,

    /// <summary>The sides order rows differently (NHD and HND).</summary>
    Permute = 1,

    /// <summary>The sides have different block sizes.</summary>
    Reblock = 2,
}

/// <summary>How a cache of one layout becomes a cache of another: a pure function of the two descriptions.</summary>
public sealed class TransferPlan
{
    private TransferPlan(KvCacheLayout source, KvCacheLayout target, TransferSteps steps)
    {
        Source = source;
        Target = target;
        Steps = steps;
    }

    /// <summary>The sender's layout.</summary>
    public KvCacheLayout Source { get; }

    /// <summary>The receiver's layout.</summary>
    public KvCacheLayout Target { get; }

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
        var steps = TransferSteps.Copy;
        for (int g = 0; reason is null && g < source.Groups.Length; g++)
        {
            LayerGroup from = source.Groups[g], to = target.Groups[g];
            reason = Difference($"group {g}: attention kind", from.Kind, to.Kind)
                ?? Difference($"group {g}: layers", string.Join(',', from.Layers), string.Join(',', to.Layers))
                ?? Difference($"group {g}: kv heads", from.KvHeads, to.KvHeads)
                ?? Difference($"group {g}: head dim", from.HeadDim, to.HeadDim)
                ?? Difference($"group {g}: window tokens", from.WindowTokens, to.WindowTokens)
                ?? Difference($"group {g}: element type", from.ElementType.Name(), to.ElementType.Name())
                ?? Difference($"group {g}: scale kind", from.ScaleKind, to.ScaleKind);
            if (reason is null && from.ScaleKind != ScaleKind.None) reason = $"group {g}: a stored cache with scales ({from.ScaleKind}) cannot travel yet.";
            if (from.Order != to.Order) steps |= TransferSteps.Permute;
            if (from.BlockTokens != to.BlockTokens) steps |= TransferSteps.Reblock;
        }

        if (reason is not null) return false;
        plan = new TransferPlan(source, target, steps);
        return true;
    }

    /// <summary>A few readable lines: both sides and the steps.</summary>
    public override string ToString() => $"from {Source}{Environment.NewLine}to   {Target}{Environment.NewLine}by   {Steps}";

    private static string? Difference<T>(string field, T sender, T receiver) =>
        EqualityComparer<T>.Default.Equals(sender, receiver) ? null : $"{field} differs: sender {sender}, receiver {receiver}.";
}
