namespace KvHandoff.Memory;

/// <summary>
/// Where everything lies in a ring mapping: one page of indices and doorbells, then the bytes of the ring from the side that created the
/// mapping, then those of the ring towards it. docs/shared-memory.md has the table.
/// </summary>
internal static class RingLayout
{
    /// <summary>Bytes before the first ring.</summary>
    internal const int HeaderBytes = 4096;

    /// <summary>Bytes of one ring that are allowed: powers of two from here ...</summary>
    internal const int MinCapacityBytes = 4 << 10;

    /// <summary>... to here.</summary>
    internal const int MaxCapacityBytes = 16 << 20;

    /// <summary>Distance of the two rings' words in the header.</summary>
    internal const int DirectionBytes = 1024;

    // Two cache lines apart, because the prefetcher takes lines in pairs: what one side writes never shares a pair with what the other writes.
    internal const int WriterIndex = 0, WriterState = 8;
    internal const int ReaderIndex = 128, ReaderState = 136;
    internal const int DataSequence = 256, DataWaiting = 260;
    internal const int SpaceSequence = 384, SpaceWaiting = 388;

    internal static long MappingBytes(int capacityBytes) => HeaderBytes + 2L * capacityBytes;

    internal static bool IsCapacity(long capacityBytes) =>
        capacityBytes is >= MinCapacityBytes and <= MaxCapacityBytes && (capacityBytes & (capacityBytes - 1)) == 0;
}
