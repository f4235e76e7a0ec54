using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>CRC-32C of every segment.</summary>
internal sealed class ChecksumWorkload : KernelWorkload
{
    // Reflected polynomial of RFC 3720.
    private const uint Polynomial = 0x82F63B78;

    private readonly KernelShape _shape;
    private readonly NativeSlab _rows;
    private uint _all;

    internal ChecksumWorkload(KernelBuffers buffers, KernelShape shape, RowSource source)
    {
        _shape = shape;
        _rows = buffers.Rows(source, shape);
        Limits = [KernelBuffers.Read(_rows, shape.Bytes)];
    }

    internal override IReadOnlyList<KernelLimit> Limits { get; }

    internal override void Run()
    {
        uint all = 0;
        for (int s = 0; s < _shape.Segments; s++) all ^= Crc32C.Compute(_rows.Span((long)s * _shape.SegmentBytes, _shape.SegmentBytes));
        _all = all;
    }

    internal override string? Check()
    {
        ReadOnlySpan<byte> segment = _rows.Span(0, _shape.SegmentBytes);
        uint crc = uint.MaxValue;
        foreach (byte b in segment)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) * Polynomial);
        }

        return ~crc == Crc32C.Compute(segment) ? null : $"CRC-32C of the first {segment.Length} bytes is 0x{Crc32C.Compute(segment):x8}; bit by bit it is 0x{~crc:x8} (all: 0x{_all:x8}).";
    }
}
