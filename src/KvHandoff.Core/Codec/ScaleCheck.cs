using System.Buffers.Binary;
using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Codec;

/// <summary>Scales that a peer sent: finite and not negative, or they are refused.</summary>
internal static class ScaleCheck
{
    private const uint LargestSingle = 0x7F7F_FFFF;
    private const ushort LargestBFloat16 = 0x7F7F;
    private const byte E8M0NaN = 0xFF;

    /// <summary>What is wrong with the first scale that is wrong, or null.</summary>
    internal static string? Reason(in StorageForm form, ReadOnlySpan<byte> scales)
    {
        int size = form.ScaleType.SizeBytes();
        for (int i = 0; (i + 1) * size <= scales.Length; i++)
        {
            ReadOnlySpan<byte> scale = scales.Slice(i * size, size);
            uint bits = size == 4 ? BinaryPrimitives.ReadUInt32LittleEndian(scale) : size == 2 ? BinaryPrimitives.ReadUInt16LittleEndian(scale) : scale[0];
            bool good = size == 4 ? bits <= LargestSingle : size == 2 ? bits <= LargestBFloat16 : bits != E8M0NaN;
            if (!good)
                return $"Scale {i} has the bits 0x{bits.ToString($"X{size * 2}")}; expected a finite {form.ScaleType.Name()} number that is not negative.";
        }

        return null;
    }
}
