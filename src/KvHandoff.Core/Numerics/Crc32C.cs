namespace KvHandoff.Numerics;

/// <summary>
/// CRC-32C: the Castagnoli polynomial 0x1EDC6F41, bits reflected, initial value and final inversion 0xFFFFFFFF, as in RFC 3720
/// (iSCSI) appendix B.4. Detects damage, not tampering.
/// </summary>
/// <remarks>Every instruction set gives the same value. Thread-safe; nothing is allocated.</remarks>
public static partial class Crc32C
{
    /// <summary>The checksum of the data; 0 for no data, 0xE3069283 for the ASCII digits "123456789".</summary>
    public static uint Compute(ReadOnlySpan<byte> data) => Append(0, data);

    /// <summary>
    /// Continues a finished checksum: <c>Append(Compute(a), b)</c> is the checksum of a followed by b.
    /// </summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> data) => ~Update(~crc, data);

    /// <summary>
    /// The checksum of two parts laid end to end, from the checksums of the parts, in about 32 steps a bit of the length.
    /// </summary>
    /// <param name="first">Checksum of the first part.</param>
    /// <param name="second">Checksum of the second part.</param>
    /// <param name="secondLength">Length of the second part in bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">The length is negative.</exception>
    public static uint Combine(uint first, uint second, long secondLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(secondLength);
        return Multiply(first, PowerOfX((ulong)secondLength, exponentOfUnit: 3)) ^ second;
    }
}
