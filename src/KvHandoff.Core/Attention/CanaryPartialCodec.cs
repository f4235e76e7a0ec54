using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Layout;

namespace KvHandoff.Attention;

/// <summary>
/// The bytes of <see cref="CanaryPartial"/>s, little-endian, in messages of at most 192 KiB: a header of 16 bytes (ASCII "KVCS", version u16 = 1,
/// partials u16, number of this message u16, messages u16, u32 0), then per partial 48 bytes (query's name u128, layer u16, elements u16, head u32,
/// first attended token u32, end of them u32, kind u8: 1 engine, 2 seeded, precision u8: 1 exact, 2 rounded to 16 bits, 3 int8, 4 fp8, 5 mxfp8, 6 coarser, flags u16: bit 0 a sink,
/// sink f32, log-sum-exp f32, u32 0), the output and the expected output (f32 each).
/// </summary>
internal static class CanaryPartialCodec
{
    /// <summary>Version of the format.</summary>
    internal const ushort Version = 1;

    /// <summary>Bytes of a message's header and of what stands before each partial's numbers.</summary>
    internal const int HeaderBytes = 16, PartialHeaderBytes = 48;

    /// <summary>Largest message.</summary>
    internal const int MaxMessageBytes = 192 << 10;

    /// <summary>Most messages of one receiver for one handoff.</summary>
    internal const int MaxMessages = 64;

    private const uint Magic = 0x5343_564B;

    private const byte Engine = 1, Seeded = 2;

    private const ushort HasSink = 1;

    /// <summary>Divides partials among messages; no partial gives no message. Null when they take more than <see cref="MaxMessages"/>.</summary>
    internal static ImmutableArray<byte[]>? Write(IReadOnlyList<CanaryPartial> partials)
    {
        var parts = new List<(int First, int Count, int Bytes)>();
        for (int i = 0; i < partials.Count; i++)
        {
            int bytes = BytesOf(partials[i].Output.Length);
            if (parts.Count > 0 && parts[^1].Bytes + bytes <= MaxMessageBytes) parts[^1] = (parts[^1].First, parts[^1].Count + 1, parts[^1].Bytes + bytes);
            else parts.Add((i, 1, HeaderBytes + bytes));
        }

        if (parts.Count > MaxMessages) return null;
        return [.. parts.Select((part, number) => Write(partials, part.First, part.Count, part.Bytes, number, parts.Count))];
    }

    /// <summary>Reads a message that a peer sent: never throws on its bytes, and allocates no more than a small multiple of their number.</summary>
    /// <param name="source">What came.</param>
    /// <param name="number">Number of the message, from 0.</param>
    /// <param name="messages">How many there are, 1 to <see cref="MaxMessages"/>.</param>
    /// <param name="partials">What is in it.</param>
    /// <returns>What is wrong, with the value found and the value expected; null on success.</returns>
    internal static string? TryRead(ReadOnlySpan<byte> source, out int number, out int messages, out ImmutableArray<CanaryPartial> partials)
    {
        (number, messages, partials) = (0, 0, []);
        if (source.Length is < HeaderBytes or > MaxMessageBytes) return $"Canary states of {source.Length} bytes; allowed: {HeaderBytes} to {MaxMessageBytes}.";
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(source);
        if (magic != Magic) return $"Canary states begin with 0x{magic:x8}; expected 0x{Magic:x8}.";
        if (UInt16(source[4..]) != Version) return $"Canary states have version {UInt16(source[4..])}; expected {Version}.";
        int count = UInt16(source[6..]);
        (number, messages) = (UInt16(source[8..]), UInt16(source[10..]));
        if (messages is < 1 or > MaxMessages || number >= messages) return $"Canary states are message {number} of {messages}; allowed: below the count, which is 1 to {MaxMessages}.";
        if (Int32(source[12..]) != 0) return $"The canary states' reserved field is {Int32(source[12..])}; expected 0.";
        if (count * (PartialHeaderBytes + 2 * sizeof(float)) > source.Length - HeaderBytes) return $"Canary states have {source.Length} bytes; {count} partials take more.";
        var read = ImmutableArray.CreateBuilder<CanaryPartial>(count);
        ReadOnlySpan<byte> rest = source[HeaderBytes..];
        for (int i = 0; i < count; i++)
        {
            if (ReadPartial(ref rest, out CanaryPartial? partial) is { } error) return $"Partial {i} of the canary states: {error}.";
            read.Add(partial!);
        }

        if (!rest.IsEmpty) return $"{rest.Length} bytes follow the {count} partials of the canary states; expected 0.";
        partials = read.MoveToImmutable();
        return null;
    }

    private static int BytesOf(int elements) => PartialHeaderBytes + 2 * elements * sizeof(float);

    private static byte[] Write(IReadOnlyList<CanaryPartial> partials, int first, int count, int bytes, int number, int messages)
    {
        byte[] message = new byte[bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(message, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(6), (ushort)count);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(8), (ushort)number);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(10), (ushort)messages);
        Span<byte> rest = message.AsSpan(HeaderBytes);
        for (int i = first; i < first + count; i++) WritePartial(partials[i], ref rest);
        return message;
    }

    private static void WritePartial(CanaryPartial partial, ref Span<byte> rest)
    {
        BinaryPrimitives.WriteUInt128LittleEndian(rest, partial.Query);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[16..], (ushort)partial.Layer);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[18..], (ushort)partial.Output.Length);
        BinaryPrimitives.WriteInt32LittleEndian(rest[20..], partial.Head);
        BinaryPrimitives.WriteInt32LittleEndian(rest[24..], partial.Attended.Start);
        BinaryPrimitives.WriteInt32LittleEndian(rest[28..], partial.Attended.End);
        rest[32] = partial.IsSeeded ? Seeded : Engine;
        rest[33] = (byte)partial.Precision;
        BinaryPrimitives.WriteUInt16LittleEndian(rest[34..], partial.Sink is null ? (ushort)0 : HasSink);
        BinaryPrimitives.WriteSingleLittleEndian(rest[36..], partial.Sink ?? 0);
        BinaryPrimitives.WriteSingleLittleEndian(rest[40..], partial.LogSumExp);
        rest = rest[PartialHeaderBytes..];
        foreach (ReadOnlyMemory<float> numbers in (ReadOnlySpan<ReadOnlyMemory<float>>)[partial.Output, partial.Expected])
        {
            foreach (float x in numbers.Span)
            {
                BinaryPrimitives.WriteSingleLittleEndian(rest, x);
                rest = rest[sizeof(float)..];
            }
        }
    }

    private static string? ReadPartial(ref ReadOnlySpan<byte> rest, out CanaryPartial? partial)
    {
        partial = null;
        if (rest.Length < PartialHeaderBytes) return $"{rest.Length} bytes are left; it takes {PartialHeaderBytes} and more";
        ReadOnlySpan<byte> head = rest[..PartialHeaderBytes];
        int layer = UInt16(head[16..]), elements = UInt16(head[18..]), queryHead = Int32(head[20..]), first = Int32(head[24..]), end = Int32(head[28..]), flags = UInt16(head[34..]);
        float sink = BinaryPrimitives.ReadSingleLittleEndian(head[36..]), logSumExp = BinaryPrimitives.ReadSingleLittleEndian(head[40..]);
        var precision = (CanaryPrecision)head[33];
        if (elements is < 1 or > CanaryCodec.MaxElements) return $"{elements} elements; allowed: 1 to {CanaryCodec.MaxElements}";
        if (queryHead is < 0 or >= CanarySet.MaxQueryHeads) return $"head {queryHead}; allowed: 0 to {CanarySet.MaxQueryHeads - 1}";
        if (first < 0 || end <= first || end > CanarySet.MaxTokens) return $"tokens {first}..{end}; allowed: a range in 0..{CanarySet.MaxTokens}";
        if (head[32] is not (Engine or Seeded)) return $"kind {head[32]}; allowed: {Engine} and {Seeded}";
        if (precision is < CanaryPrecision.Exact or > CanaryPrecision.Coarse8) return $"precision {head[33]}; allowed: {(byte)CanaryPrecision.Exact} to {(byte)CanaryPrecision.Coarse8}";
        if ((flags & ~HasSink) != 0 || Int32(head[44..]) != 0) return $"flags 0x{flags:x4} and a reserved field of {Int32(head[44..])}; allowed: 0 or 1, and 0";
        if (!float.IsFinite(sink) || (flags == 0 && sink != 0)) return $"a sink of {sink}; allowed: a finite number, 0 where there is none";
        if (rest.Length < BytesOf(elements)) return $"{rest.Length} bytes are left; it takes {BytesOf(elements)}";
        rest = rest[PartialHeaderBytes..];
        // What a receiver found may be no number, and is judged; what a sender expects is one.
        float[] output = Floats(ref rest, elements), expected = Floats(ref rest, elements);
        if (!Array.TrueForAll(expected, float.IsFinite)) return "an expected output that is not finite";
        partial = new CanaryPartial(BinaryPrimitives.ReadUInt128LittleEndian(head), layer, queryHead, new IndexRange(first, end - first), head[32] == Seeded, precision, flags != 0 ? sink : null, logSumExp, output, expected);
        return null;
    }

    private static float[] Floats(ref ReadOnlySpan<byte> rest, int count)
    {
        var numbers = new float[count];
        for (int i = 0; i < count; i++) numbers[i] = BinaryPrimitives.ReadSingleLittleEndian(rest[(i * sizeof(float))..]);
        rest = rest[(count * sizeof(float))..];
        return numbers;
    }

    private static int UInt16(ReadOnlySpan<byte> source) => BinaryPrimitives.ReadUInt16LittleEndian(source);

    private static int Int32(ReadOnlySpan<byte> source) => BinaryPrimitives.ReadInt32LittleEndian(source);
}
