using System.Buffers.Binary;
using System.Collections.Immutable;

namespace KvHandoff.Attention;

/// <summary>
/// The bytes of a <see cref="CanarySet"/>, little-endian: a header of 40 bytes (ASCII "KVAC", version u16 = 1, kind u8: 1 engine, 2 seeded, u8 0, pairs u32,
/// query heads u32, first token u32, tokens u32, latent dimension u32, softmax scale f32, logit cap f32, u32 0), then per pair 16 bytes (layer u16,
/// query elements u16, output elements u16, flags u16: bit 0 a sink, head u32, sink or, of a seeded pair, the query's factor f32), the query (f32
/// each; of a seeded pair the exponents, i8 each) and the output (f32 each). Nothing follows.
/// </summary>
public static class CanaryCodec
{
    /// <summary>Version of the format.</summary>
    public const ushort Version = 1;

    /// <summary>Bytes of the header and of what stands before each pair's numbers.</summary>
    public const int HeaderBytes = 40, PairHeaderBytes = 16;

    /// <summary>Most elements of a query or output.</summary>
    public const int MaxElements = Layout.LayerGroup.MaxHeadDim;

    /// <summary>Largest set.</summary>
    public const int MaxBytes = HeaderBytes + CanarySet.MaxPairs * (PairHeaderBytes + 2 * MaxElements * sizeof(float));

    private const uint Magic = 0x4341_564B;

    private const byte Engine = 1, Seeded = 2;

    private const ushort HasSink = 1;

    /// <summary>Bytes that <see cref="Write"/> writes.</summary>
    public static int ByteCount(CanarySet set)
    {
        ArgumentNullException.ThrowIfNull(set);
        int bytes = HeaderBytes;
        foreach (CanaryPair pair in set.Pairs)
            bytes += PairHeaderBytes + (set.IsSeeded ? pair.Exponents.Length : pair.Query.Length * sizeof(float)) + pair.Output.Length * sizeof(float);
        return bytes;
    }

    /// <summary>Writes a set.</summary>
    /// <param name="set">The set, which fits a model (<see cref="CanarySet.Check"/>).</param>
    /// <param name="destination">At least <see cref="ByteCount"/> bytes.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">There is too little room, or a count is out of range.</exception>
    public static int Write(CanarySet set, Span<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(set);
        if (set.Pairs.IsDefaultOrEmpty || set.Pairs.Length > CanarySet.MaxPairs)
            throw new ArgumentException($"The canary has {(set.Pairs.IsDefault ? 0 : set.Pairs.Length)} pairs; allowed: 1 to {CanarySet.MaxPairs}.", nameof(set));
        int bytes = ByteCount(set);
        if (destination.Length < bytes) throw new ArgumentException($"There is room for {destination.Length} bytes; the set takes {bytes}.", nameof(destination));
        BinaryPrimitives.WriteUInt32LittleEndian(destination, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[4..], Version);
        destination[6] = set.IsSeeded ? Seeded : Engine;
        destination[7] = 0;
        Int32(destination[8..], set.Pairs.Length);
        Int32(destination[12..], set.QueryHeads);
        Int32(destination[16..], set.FirstToken);
        Int32(destination[20..], set.Tokens);
        Int32(destination[24..], set.LatentDim);
        BinaryPrimitives.WriteSingleLittleEndian(destination[28..], set.SoftmaxScale);
        BinaryPrimitives.WriteSingleLittleEndian(destination[32..], set.LogitCap);
        Int32(destination[36..], 0);
        Span<byte> rest = destination[HeaderBytes..];
        foreach (CanaryPair pair in set.Pairs) WritePair(pair, set.IsSeeded, ref rest);
        return bytes;
    }

    /// <summary>Reads a set from bytes that a peer sent: never throws on them, and allocates no more than a small multiple of their number.</summary>
    /// <param name="source">What came; its length is not trusted.</param>
    /// <param name="handoffId">The handoff, from which a seeded set's queries follow.</param>
    /// <param name="set">The set. Whether it fits a model is for <see cref="CanarySet.Check"/>.</param>
    /// <param name="error">What is wrong, with the value found and the value expected; null on success.</param>
    public static bool TryRead(ReadOnlySpan<byte> source, Guid handoffId, out CanarySet? set, out string? error)
    {
        set = null;
        error = CheckHeader(source, out bool seeded, out int count);
        if (error is not null) return false;
        var pairs = ImmutableArray.CreateBuilder<CanaryPair>(count);
        ReadOnlySpan<byte> rest = source[HeaderBytes..];
        for (int i = 0; i < count; i++)
        {
            error = ReadPair(ref rest, seeded, handoffId, out CanaryPair? pair);
            if (error is not null)
            {
                error = $"Pair {i} of the canary: {error}.";
                return false;
            }

            pairs.Add(pair!);
        }

        if (!rest.IsEmpty)
        {
            error = $"{rest.Length} bytes follow the canary's {count} pairs; expected 0.";
            return false;
        }

        set = new CanarySet
        {
            Pairs = pairs.MoveToImmutable(),
            QueryHeads = ReadInt32(source[12..]),
            FirstToken = ReadInt32(source[16..]),
            Tokens = ReadInt32(source[20..]),
            LatentDim = ReadInt32(source[24..]),
            SoftmaxScale = BinaryPrimitives.ReadSingleLittleEndian(source[28..]),
            LogitCap = BinaryPrimitives.ReadSingleLittleEndian(source[32..]),
        };
        return true;
    }

    private static string? CheckHeader(ReadOnlySpan<byte> source, out bool seeded, out int count)
    {
        (seeded, count) = (false, 0);
        if (source.Length is < HeaderBytes or > MaxBytes) return $"The canary has {source.Length} bytes; allowed: {HeaderBytes} to {MaxBytes}.";
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(source);
        if (magic != Magic) return $"The canary begins with 0x{magic:x8}; expected 0x{Magic:x8}.";
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(source[4..]);
        if (version != Version) return $"The canary has version {version}; expected {Version}.";
        if (source[6] is not (Engine or Seeded)) return $"The canary is of kind {source[6]}; allowed: {Engine} and {Seeded}.";
        seeded = source[6] == Seeded;
        if (source[7] != 0 || ReadInt32(source[36..]) != 0) return $"The canary's reserved fields are {source[7]} and {ReadInt32(source[36..])}; expected 0.";
        uint pairs = BinaryPrimitives.ReadUInt32LittleEndian(source[8..]);
        if (pairs is < 1 or > CanarySet.MaxPairs) return $"The canary has {pairs} pairs; allowed: 1 to {CanarySet.MaxPairs}.";
        if (pairs * PairHeaderBytes > (uint)(source.Length - HeaderBytes)) return $"The canary has {source.Length} bytes; {pairs} pairs take {HeaderBytes + pairs * PairHeaderBytes} and more.";
        int heads = ReadInt32(source[12..]);
        if (seeded ? heads != 0 : heads is < 1 or > CanarySet.MaxQueryHeads) return $"The canary has {heads} query heads; allowed: {(seeded ? "0" : $"1 to {CanarySet.MaxQueryHeads}")}.";
        count = (int)pairs;
        return null;
    }

    private static string? ReadPair(ref ReadOnlySpan<byte> rest, bool seeded, Guid handoffId, out CanaryPair? pair)
    {
        pair = null;
        if (rest.Length < PairHeaderBytes) return $"{rest.Length} bytes are left; it takes {PairHeaderBytes} and more";
        int layer = BinaryPrimitives.ReadUInt16LittleEndian(rest), query = BinaryPrimitives.ReadUInt16LittleEndian(rest[2..]), output = BinaryPrimitives.ReadUInt16LittleEndian(rest[4..]);
        ushort flags = BinaryPrimitives.ReadUInt16LittleEndian(rest[6..]);
        int head = ReadInt32(rest[8..]);
        float number = BinaryPrimitives.ReadSingleLittleEndian(rest[12..]);
        rest = rest[PairHeaderBytes..];
        if (query is < 1 or > MaxElements || output is < 1 or > MaxElements) return $"a query of {query} and an output of {output} elements; allowed: 1 to {MaxElements}";
        if ((flags & ~(seeded ? 0 : HasSink)) != 0) return $"flags 0x{flags:x4}; allowed: {(seeded ? "0" : "0 and 1")}";
        if (head is < 0 or >= CanarySet.MaxQueryHeads) return $"head {head}; allowed: 0 to {CanarySet.MaxQueryHeads - 1}";
        if (!float.IsFinite(number) || (!seeded && flags == 0 && number != 0)) return $"a sink or factor of {number}; allowed: a finite number, 0 where there is none";
        int bytes = query * (seeded ? 1 : sizeof(float)) + output * sizeof(float);
        if (rest.Length < bytes) return $"{rest.Length} bytes are left; its numbers take {bytes}";
        if (seeded)
        {
            var exponents = new sbyte[query];
            for (int d = 0; d < query; d++) exponents[d] = (sbyte)rest[d];
            rest = rest[query..];
            pair = new CanaryPair(layer, head, SeededQuery.Derive(handoffId, layer, head, number, exponents), Floats(ref rest, output)) { Factor = number, Exponents = exponents };
        }
        else
        {
            float[] given = Floats(ref rest, query);
            pair = new CanaryPair(layer, head, given, Floats(ref rest, output)) { Sink = flags != 0 ? number : null };
        }

        return null;
    }

    private static void WritePair(CanaryPair pair, bool seeded, ref Span<byte> rest)
    {
        int query = seeded ? pair.Exponents.Length : pair.Query.Length;
        if (query is < 1 or > MaxElements || pair.Output.Length is < 1 or > MaxElements || pair.Layer is < 0 or > ushort.MaxValue)
            throw new ArgumentException($"Layer {pair.Layer} has a query of {query} and an output of {pair.Output.Length} elements; allowed: 1 to {MaxElements}.", nameof(pair));
        BinaryPrimitives.WriteUInt16LittleEndian(rest, (ushort)pair.Layer);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[2..], (ushort)query);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[4..], (ushort)pair.Output.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[6..], !seeded && pair.Sink is not null ? HasSink : (ushort)0);
        Int32(rest[8..], pair.Head);
        BinaryPrimitives.WriteSingleLittleEndian(rest[12..], seeded ? pair.Factor : pair.Sink ?? 0);
        rest = rest[PairHeaderBytes..];
        if (seeded)
        {
            foreach (sbyte exponent in pair.Exponents.Span)
            {
                rest[0] = (byte)exponent;
                rest = rest[1..];
            }
        }
        else
        {
            WriteNumbers(pair.Query.Span, ref rest);
        }

        WriteNumbers(pair.Output.Span, ref rest);
    }

    private static void WriteNumbers(ReadOnlySpan<float> numbers, ref Span<byte> rest)
    {
        foreach (float x in numbers)
        {
            BinaryPrimitives.WriteSingleLittleEndian(rest, x);
            rest = rest[sizeof(float)..];
        }
    }

    private static float[] Floats(ref ReadOnlySpan<byte> rest, int count)
    {
        var numbers = new float[count];
        for (int i = 0; i < count; i++) numbers[i] = BinaryPrimitives.ReadSingleLittleEndian(rest[(i * sizeof(float))..]);
        rest = rest[(count * sizeof(float))..];
        return numbers;
    }

    private static void Int32(Span<byte> destination, int value) => BinaryPrimitives.WriteInt32LittleEndian(destination, value);

    private static int ReadInt32(ReadOnlySpan<byte> source) => BinaryPrimitives.ReadInt32LittleEndian(source);
}
