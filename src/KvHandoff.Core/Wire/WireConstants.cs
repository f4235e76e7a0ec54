using KvHandoff.Layout;

namespace KvHandoff.Wire;

/// <summary>Numbers that both sides of a connection agree on. Everything on the wire is little-endian.</summary>
public static class WireConstants
{
    /// <summary>Version of the format that this library writes and the only one that it reads.</summary>
    public const ushort Version = 1;

    /// <summary>First four bytes of a connection, ASCII "KVHP".</summary>
    public const uint PrefaceMagic = 0x5048_564B;

    /// <summary>First four bytes of a control message, ASCII "KVHC".</summary>
    public const uint ControlMagic = 0x4348_564B;

    /// <summary>First four bytes of a frame, ASCII "KVHF".</summary>
    public const uint FrameMagic = 0x4648_564B;

    /// <summary>Bytes of a control message's header.</summary>
    public const int ControlHeaderBytes = 16;

    /// <summary>Largest control message, header included: a manifest with all its token ids and metadata fits several times.</summary>
    public const int MaxControlMessageBytes = 64 << 20;

    /// <summary>Largest payload of a frame.</summary>
    public const int MaxFramePayloadBytes = 64 << 20;

    /// <summary>Longest sequence.</summary>
    public const int MaxTokens = 2_097_152;

    /// <summary>Granules of the longest sequence.</summary>
    public const int MaxGranules = MaxTokens / KvSegment.GranuleTokens;

    /// <summary>Largest opaque metadata of the host in a manifest.</summary>
    public const int MaxMetadataBytes = 1 << 20;

    /// <summary>Largest opaque sampler state in a manifest.</summary>
    public const int MaxSamplerStateBytes = 64 << 10;

    /// <summary>Longest text, in bytes of UTF-8.</summary>
    public const int MaxStringBytes = 1024;

    /// <summary>Most data connections of one sender.</summary>
    public const int MaxStreams = 64;

    /// <summary>Bytes of one content hash in an offer.</summary>
    public const int PrefixHashBytes = 16;

    /// <summary>Most content hashes in an offer: the first 524,288 tokens can be reused.</summary>
    public const int MaxPrefixHashes = 8192;

    /// <summary>Largest ticket in an offer.</summary>
    public const int MaxTicketBytes = 1024;

    /// <summary>Largest description of a group in an offer.</summary>
    public const int MaxGroupBytes = 64 << 10;

    /// <summary>Longest trace context in an offer, in bytes of UTF-8; W3C's version 0 has 55.</summary>
    public const int MaxTraceParentBytes = 64;

    /// <summary>Most senders, and most receivers, of one group.</summary>
    public const int MaxGroupWorkers = 512;

    /// <summary>Largest description of a worker's part of the model.</summary>
    public const int MaxShardBytes = 96 << 10;

    /// <summary>Largest description of where the receiver's blocks lie.</summary>
    public const int MaxWindowBytes = 64 << 10;

    /// <summary>Most bytes of the sender's canary pairs in a Finish.</summary>
    public const int MaxCanaryBytes = 8 << 20;

    /// <summary>Most bytes of canary states in a Prepared.</summary>
    public const int MaxCanaryStatesBytes = 192 << 10;

    /// <summary>Most phases in a receiver's account.</summary>
    public const int MaxPhases = 64;

    /// <summary>Longest time span, 30 days: below what timers of the platform take.</summary>
    public const long MaxMilliseconds = 30L * 24 * 60 * 60 * 1000;
}
