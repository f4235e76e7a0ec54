using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace KvHandoff.Layout;

/// <summary>
/// Who sends what when N workers hand a sequence to M others, each of which holds a part of it: a pure function of the layout, the tokens
/// and the two lists of shards. Every (layer, kv head, token) that a target holds is sent to it once, by a source that holds it.
/// </summary>
/// <remarks>
/// <para>Where R sources hold the same rows (tensor parallelism over more ranks than kv heads, or a latent) and D targets want them, the sources
/// are put in order of their shards (first layer, token, kv head, then the lengths; equal ones by index), and the targets in order of their index. Target k of D is served by the
/// sources from k R / D up to, not including, (k + 1) R / D, which divide the layers evenly in that order; with D >= R by source k R / D
/// alone. So replicas carry the same load, no target connects to more of them than needed, and parties that know the two lists
/// need not talk to agree.</para>
/// <para>Immutable and thread-safe.</para>
/// </remarks>
public sealed partial class ShardPlan
{
    /// <summary>Most shards of a side.</summary>
    public const int MaxShards = 1024;

    private readonly Dictionary<(int Source, int Target), ShardPair> _pairs;

    private ShardPlan(KvCacheLayout layout, int tokens, ImmutableArray<KvShard> sources, ImmutableArray<KvShard> targets, ImmutableArray<ShardPair> pairs)
    {
        Layout = layout;
        Tokens = tokens;
        Sources = sources;
        Targets = targets;
        Pairs = pairs;
        _pairs = pairs.ToDictionary(p => (p.Source, p.Target));
    }

    /// <summary>The whole model's layout.</summary>
    public KvCacheLayout Layout { get; }

    /// <summary>Tokens of the sequence.</summary>
    public int Tokens { get; }

    /// <summary>What each sender holds.</summary>
    public ImmutableArray<KvShard> Sources { get; }

    /// <summary>What each receiver holds.</summary>
    public ImmutableArray<KvShard> Targets { get; }

    /// <summary>The pairs between which anything is sent, by source, then by target.</summary>
    public ImmutableArray<ShardPair> Pairs { get; }

    /// <summary>Bytes that are sent in all: a row that several targets hold counts for each of them.</summary>
    public long TotalBytes => Pairs.Sum(p => p.Bytes);

    /// <summary>What <paramref name="source"/> sends to <paramref name="target"/>; empty when nothing.</summary>
    public ImmutableArray<ShardPiece> Pieces(int source, int target) => _pairs.TryGetValue((source, target), out ShardPair? pair) ? pair.Pieces : [];

    /// <summary>Bytes that <paramref name="source"/> sends to <paramref name="target"/>.</summary>
    public long Bytes(int source, int target) => _pairs.TryGetValue((source, target), out ShardPair? pair) ? pair.Bytes : 0;

    /// <summary>Bytes that a source sends.</summary>
    public long BytesFrom(int source) => Pairs.Where(p => p.Source == source).Sum(p => p.Bytes);

    /// <summary>Bytes that a target is sent.</summary>
    public long BytesTo(int target) => Pairs.Where(p => p.Target == target).Sum(p => p.Bytes);

    /// <summary>Plans, or says in <paramref name="reason"/> which shard is out of range or what no source holds.</summary>
    /// <param name="layout">The whole model's layout.</param>
    /// <param name="tokens">Tokens of the sequence, 1 or more.</param>
    /// <param name="sources">What each sender holds, 1 to 1,024; shards may overlap.</param>
    /// <param name="targets">What each receiver holds, 1 to 1,024; shards may overlap.</param>
    /// <param name="plan">The plan.</param>
    /// <param name="reason">Why there is none.</param>
    public static bool TryCreate(KvCacheLayout layout, int tokens, ReadOnlySpan<KvShard> sources, ReadOnlySpan<KvShard> targets, out ShardPlan? plan, out string? reason)
    {
        ArgumentNullException.ThrowIfNull(layout);
        plan = null;
        reason = tokens < 1 ? $"The sequence has {tokens} tokens; allowed: 1 or more." : CheckSide("source", layout, tokens, sources) ?? CheckSide("target", layout, tokens, targets);
        if (reason is not null) return false;
        var pieces = new Dictionary<(int Source, int Target), List<ShardPiece>>();
        int[] order = Order(sources);
        for (int g = 0; reason is null && g < layout.Groups.Length; g++) reason = new Grid(layout, g, sources, order, targets).Assign(pieces);
        if (reason is not null) return false;
        ImmutableArray<ShardPair> pairs = [.. pieces.OrderBy(p => p.Key).Select(p => new ShardPair(p.Key.Source, p.Key.Target, [.. p.Value], p.Value.Sum(x => x.Bytes(layout))))];
        plan = new ShardPlan(layout, tokens, [.. sources], [.. targets], pairs);
        return true;
    }

    /// <summary>A few readable lines: both sides, and which source sends what to which target; identical sources are called replicas.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Sources.Length} sources to {Targets.Length} targets, {Tokens} tokens of {Layout.Model.Name}, {TotalBytes} bytes");
        foreach (ShardPair pair in Pairs)
        {
            text.AppendLine();
            text.Append(CultureInfo.InvariantCulture, $"source {pair.Source}{ReplicasOf(pair.Source)} -> target {pair.Target}, {pair.Bytes} bytes: {string.Join("; ", pair.Pieces)}");
        }

        return text.ToString();
    }

    // Of the shards alone, so that a party that lists the same sources otherwise gives the same places the same work.
    private static int[] Order(ReadOnlySpan<KvShard> sources)
    {
        KvShard[] shards = sources.ToArray();
        return
        [
            .. Enumerable.Range(0, shards.Length)
                .OrderBy(i => (shards[i].Layers.Start, shards[i].Tokens.Start, shards[i].KvHeads.Start))
                .ThenBy(i => (shards[i].Layers.Count, shards[i].Tokens.Count, shards[i].KvHeads.Count))
                .ThenBy(i => shards[i].ToString(), StringComparer.Ordinal),
        ];
    }

    private string ReplicasOf(int source)
    {
        int[] same = [.. Enumerable.Range(0, Sources.Length).Where(i => Sources[i] == Sources[source])];
        return same.Length == 1 ? "" : $" (replica {Array.IndexOf(same, source) + 1} of {same.Length})";
    }

    private static string? CheckSide(string side, KvCacheLayout layout, int tokens, ReadOnlySpan<KvShard> shards)
    {
        if (shards.Length is < 1 or > MaxShards) return $"There are {shards.Length} {side} shards; allowed: 1 to {MaxShards}.";
        for (int i = 0; i < shards.Length; i++)
        {
            if (shards[i].Check(layout, tokens) is { } wrong) return $"The shard of {side} {i} is out of range: {wrong}.";
        }

        return null;
    }
}
