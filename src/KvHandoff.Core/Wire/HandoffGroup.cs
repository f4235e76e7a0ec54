using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Wire;

/// <summary>
/// The group that a handoff is a part of: N senders hand one sequence to M receivers under one handoff id. Every party computes from it who
/// sends what to whom, so all offers of a group carry the same lists.
/// </summary>
/// <param name="Sources">What each sender holds of the model and of the sequence.</param>
/// <param name="Targets">What each receiver will hold.</param>
/// <param name="Source">Index of the sender that offers.</param>
/// <param name="Target">Index of the receiver that is offered to.</param>
/// <param name="Coordinator">Index of the receiver that commits for the group.</param>
public sealed record HandoffGroup(ImmutableArray<KvShard> Sources, ImmutableArray<KvShard> Targets, int Source, int Target, int Coordinator)
{
    private const int FixedBytes = 5 * sizeof(int);

    /// <summary>Equal when the lists and the indices are.</summary>
    public bool Equals(HandoffGroup? other) =>
        other is not null && IsSameGroup(other) && Source == other.Source && Target == other.Target;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(ArrayValue.Span(Sources).Length, ArrayValue.Span(Targets).Length, Source, Target, Coordinator);

    /// <summary>Whether another offer describes the same group: the same lists and coordinator.</summary>
    public bool IsSameGroup(HandoffGroup other) =>
        Coordinator == other.Coordinator && ArrayValue.Equal(Sources, other.Sources) && ArrayValue.Equal(Targets, other.Targets);

    /// <summary>Null when the indices are within the lists and the lists within bounds.</summary>
    public WireError? Check() =>
        WireError.Range("The group's senders", ArrayValue.Span(Sources).Length, 1, WireConstants.MaxGroupWorkers)
        ?? WireError.Range("The group's receivers", ArrayValue.Span(Targets).Length, 1, WireConstants.MaxGroupWorkers)
        ?? WireError.Range("The group's sender that offers", Source, 0, Sources.Length - 1)
        ?? WireError.Range("The group's receiver that is offered to", Target, 0, Targets.Length - 1)
        ?? WireError.Range("The group's coordinator", Coordinator, 0, Targets.Length - 1);

    /// <summary>The group as an offer carries it.</summary>
    public ByteValue ToBytes()
    {
        var output = new ArrayBufferWriter<byte>();
        foreach (int number in (ReadOnlySpan<int>)[Source, Target, Coordinator, Sources.Length, Targets.Length])
        {
            BinaryPrimitives.WriteInt32LittleEndian(output.GetSpan(sizeof(int)), number);
            output.Advance(sizeof(int));
        }

        foreach (KvShard shard in Sources) ShardCodec.Write(shard, output);
        foreach (KvShard shard in Targets) ShardCodec.Write(shard, output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Reads what <see cref="ToBytes"/> wrote; null when it is complete and within bounds.</summary>
    public static WireError? TryRead(ReadOnlySpan<byte> source, out HandoffGroup? group)
    {
        group = null;
        if (source.Length < FixedBytes) return WireError.Truncated("The group", source.Length, FixedBytes);
        Span<int> numbers = stackalloc int[5];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = BinaryPrimitives.ReadInt32LittleEndian(source[(i * sizeof(int))..]);
        if ((WireError.Range("The group's senders", numbers[3], 1, WireConstants.MaxGroupWorkers) ?? WireError.Range("The group's receivers", numbers[4], 1, WireConstants.MaxGroupWorkers)) is { } error) return error;
        source = source[FixedBytes..];
        if (ReadShards(ref source, numbers[3], out ImmutableArray<KvShard> sources) is { } badSource) return badSource;
        if (ReadShards(ref source, numbers[4], out ImmutableArray<KvShard> targets) is { } badTarget) return badTarget;
        if (!source.IsEmpty) return new WireError(WireErrorCode.BadLength, $"{source.Length} bytes follow the group; expected 0.");
        var read = new HandoffGroup(sources, targets, numbers[0], numbers[1], numbers[2]);
        if (read.Check() is { } wrong) return wrong;
        group = read;
        return null;
    }

    private static WireError? ReadShards(ref ReadOnlySpan<byte> source, int count, out ImmutableArray<KvShard> shards)
    {
        // Grown by what is there, not by what is announced.
        var read = ImmutableArray.CreateBuilder<KvShard>();
        shards = [];
        for (int i = 0; i < count; i++)
        {
            if (ShardCodec.TryRead(ref source, out KvShard shard) is { } error) return error;
            read.Add(shard);
        }

        shards = read.ToImmutable();
        return null;
    }
}
