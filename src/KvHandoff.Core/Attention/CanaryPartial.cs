using System.Security.Cryptography;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// What one receiver, which holds some of the tokens, found for one pair of a canary; partials of receivers that hold the others make it whole
/// (<see cref="CanaryJoin"/>).
/// </summary>
/// <param name="Query">Names the query and how it attends; equal for the same pair, whatever output it came with.</param>
/// <param name="Layer">Layer of the whole model.</param>
/// <param name="Head">Query head, or kv head of a seeded set.</param>
/// <param name="Attended">Tokens of the sequence that the query attends to.</param>
/// <param name="IsSeeded">Whether the pair is of a seeded set.</param>
/// <param name="Precision">How the receiver's rows were rounded on the way.</param>
/// <param name="Sink">Logit of the head's attention sink, where it has one.</param>
/// <param name="LogSumExp">Of the receiver's tokens; minus infinity where the query sees none of them.</param>
/// <param name="Output">What the receiver's tokens give, normalised.</param>
/// <param name="Expected">What the sender's attention gave, as long as the output.</param>
internal sealed record CanaryPartial(UInt128 Query, int Layer, int Head, IndexRange Attended, bool IsSeeded, CanaryPrecision Precision,
    float? Sink, float LogSumExp, ReadOnlyMemory<float> Output, ReadOnlyMemory<float> Expected)
{
    /// <summary>Names a pair by all that decides what its attention gives.</summary>
    internal static UInt128 NameOf(CanarySet set, CanaryPair pair)
    {
        CanarySet alone = set with { Pairs = [pair with { Output = new float[pair.Output.Length] }] };
        byte[] bytes = new byte[CanaryCodec.ByteCount(alone)];
        CanaryCodec.Write(alone, bytes);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128LittleEndian(SHA256.HashData(bytes));
    }
}
