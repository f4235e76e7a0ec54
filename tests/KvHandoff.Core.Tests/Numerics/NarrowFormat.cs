using System.Runtime.InteropServices;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>One narrow format of the library behind untyped spans, so that a test is written once for all of them.</summary>
sealed record NarrowFormat(
    ElementType Type, FormatDefinition Definition, Func<uint, uint> Encode, Func<uint, uint> Decode,
    NarrowFormat.Bulk ToSingle, NarrowFormat.Bulk FromSingle)
{
    /// <summary>The public bulk conversion; one side is binary32.</summary>
    public delegate void Bulk(ReadOnlySpan<byte> source, Span<byte> destination);

    static readonly NarrowFormat[] All =
    [
        new(ElementType.BFloat16, FormatDefinition.BFloat16, NarrowFloat.BFloat16FromSingle, NarrowFloat.BFloat16ToSingle,
            static (s, d) => ElementConversion.ToSingle(MemoryMarshal.Cast<byte, BFloat16>(s), MemoryMarshal.Cast<byte, float>(d)),
            static (s, d) => ElementConversion.FromSingle(MemoryMarshal.Cast<byte, float>(s), MemoryMarshal.Cast<byte, BFloat16>(d))),
        new(ElementType.Float16, FormatDefinition.Half, NarrowFloat.HalfFromSingle, NarrowFloat.HalfToSingle,
            static (s, d) => ElementConversion.ToSingle(MemoryMarshal.Cast<byte, Half>(s), MemoryMarshal.Cast<byte, float>(d)),
            static (s, d) => ElementConversion.FromSingle(MemoryMarshal.Cast<byte, float>(s), MemoryMarshal.Cast<byte, Half>(d))),
        new(ElementType.Fp8E4M3, FormatDefinition.E4M3, NarrowFloat.Fp8E4M3FromSingle, NarrowFloat.Fp8E4M3ToSingle,
            static (s, d) => ElementConversion.ToSingle(MemoryMarshal.Cast<byte, Fp8E4M3>(s), MemoryMarshal.Cast<byte, float>(d)),
            static (s, d) => ElementConversion.FromSingle(MemoryMarshal.Cast<byte, float>(s), MemoryMarshal.Cast<byte, Fp8E4M3>(d))),
        new(ElementType.Fp8E5M2, FormatDefinition.E5M2, NarrowFloat.Fp8E5M2FromSingle, NarrowFloat.Fp8E5M2ToSingle,
            static (s, d) => ElementConversion.ToSingle(MemoryMarshal.Cast<byte, Fp8E5M2>(s), MemoryMarshal.Cast<byte, float>(d)),
            static (s, d) => ElementConversion.FromSingle(MemoryMarshal.Cast<byte, float>(s), MemoryMarshal.Cast<byte, Fp8E5M2>(d))),
    ];

    public int SizeBytes => Type.SizeBytes();

    public static NarrowFormat Named(string name) => All.Single(format => format.Type.Name() == name);

    public uint Read(ReadOnlySpan<byte> codes, int index) =>
        SizeBytes == 1 ? codes[index] : MemoryMarshal.Cast<byte, ushort>(codes)[index];

    /// <summary>Bytes of random binary32 patterns, a good part of them near this format's own range.</summary>
    public byte[] RandomSingles(int count, int seed)
    {
        var random = new Random(seed);
        byte[] bytes = new byte[count * 4];
        Span<uint> bits = MemoryMarshal.Cast<byte, uint>(bytes.AsSpan());
        float[] landmarks = [.. Definition.Landmarks().Take(50_000)];
        for (int i = 0; i < count; i++)
        {
            bits[i] = (uint)random.NextInt64(1L << 32);
            if (random.Next(4) == 0)
                bits[i] = BitConverter.SingleToUInt32Bits(landmarks[random.Next(landmarks.Length)]);
            else if (random.Next(16) == 0)
                bits[i] |= 0x7F80_0000;
        }

        return bytes;
    }
}
