using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text;

namespace KvHandoff.Transport;

/// <summary>Memory of the listener that the connecting side may write.</summary>
/// <param name="Address">Address of the first byte in the listener's process.</param>
/// <param name="LengthBytes">Bytes.</param>
/// <param name="Key">UCX's packed remote key.</param>
internal readonly record struct UcxRemoteRegion(ulong Address, long LengthBytes, byte[] Key);

/// <summary>What one side tells the other before the first message.</summary>
/// <param name="WindowBytes">Bytes that may be under way to it.</param>
/// <param name="IsSameHost">It runs on this host.</param>
/// <param name="Address">Of its worker.</param>
/// <param name="Regions">What may be written there.</param>
internal readonly record struct UcxGreeting(int WindowBytes, bool IsSameHost, byte[] Address, ImmutableArray<UcxRemoteRegion> Regions);

/// <summary>
/// The one message in each direction over the socket that a connection begins with, little-endian: <c>KVUCX001</c>, u32 bytes of all that follows; u32 bytes of the sender's receive window, u32 regions,
/// u32 bytes of the worker's address, 16 bytes that name the host's boot, the address; per region u64 address, u64 length, u32 bytes of the key, the key. The connecting side has no regions.
/// A listener that refuses says <c>KVUCXNO1</c> instead, u32 bytes of its reason, the reason in UTF-8.
/// </summary>
internal static class UcxBootstrap
{
    internal const int MaxRegions = 16, MaxKeyBytes = 1024, MinWindowBytes = 16 << 10, MaxWindowBytes = 16 << 20, HostBytes = 16, HeadBytes = 12, MaxAddressBytes = 64 << 10;
    internal const int MaxBytes = FixedBytes + MaxAddressBytes + MaxRegions * (RegionBytes + MaxKeyBytes);

    private const int FixedBytes = 4 + 4 + 4 + HostBytes, RegionBytes = 8 + 8 + 4;
    private const string BootFile = "/proc/sys/kernel/random/boot_id";

    private const int MaxReasonBytes = 1000;

    private static ReadOnlySpan<byte> Magic => "KVUCX001"u8;

    private static ReadOnlySpan<byte> RefusalMagic => "KVUCXNO1"u8;

    /// <summary>Two processes with the same bytes run on one host.</summary>
    internal static byte[] Host { get; } = ReadHost();

    internal static byte[] Write(int windowBytes, ReadOnlySpan<byte> address, ReadOnlySpan<UcxRemoteRegion> regions)
    {
        int length = FixedBytes + address.Length;
        foreach (UcxRemoteRegion region in regions) length += RegionBytes + region.Key.Length;
        byte[] message = new byte[HeadBytes + length];
        Magic.CopyTo(message);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(8), length);
        Span<byte> bytes = message.AsSpan(HeadBytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes, windowBytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[4..], regions.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[8..], address.Length);
        Host.CopyTo(bytes[12..]);
        address.CopyTo(bytes[FixedBytes..]);
        bytes = bytes[(FixedBytes + address.Length)..];
        foreach (UcxRemoteRegion region in regions)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, region.Address);
            BinaryPrimitives.WriteInt64LittleEndian(bytes[8..], region.LengthBytes);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[16..], region.Key.Length);
            region.Key.CopyTo(bytes[RegionBytes..]);
            bytes = bytes[(RegionBytes + region.Key.Length)..];
        }

        return message;
    }

    /// <summary>What a listener says to a peer that it does not accept.</summary>
    internal static byte[] Refuse(string reason)
    {
        byte[] text = Encoding.UTF8.GetBytes(reason.Length <= MaxReasonBytes / 4 ? reason : reason[..(MaxReasonBytes / 4)]), message = new byte[HeadBytes + text.Length];
        RefusalMagic.CopyTo(message);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(8), text.Length);
        text.CopyTo(message.AsSpan(HeadBytes));
        return message;
    }

    /// <summary>Receives the peer's message.</summary>
    internal static async Task<(UcxGreeting Greeting, string? Error)> ReceiveAsync(IConnection socket, int maxRegions, CancellationToken cancellationToken)
    {
        byte[] head = new byte[HeadBytes];
        TransportResult got = await socket.ReceiveAsync(head, cancellationToken).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        if (!got.IsOk) return (default, got.Message);
        bool refused = head.AsSpan().StartsWith(RefusalMagic);
        if (!refused && !head.AsSpan().StartsWith(Magic)) return (default, "the peer's first bytes are not those of this protocol");
        int length = BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(8));
        if (refused && length is (< 0 or > MaxReasonBytes)) return (default, $"the peer refuses, with a reason of {length} bytes; allowed: 0 to {MaxReasonBytes}");
        if (!refused && length is (< FixedBytes or > MaxBytes)) return (default, $"the peer's greeting is to have {length} bytes; allowed: {FixedBytes} to {MaxBytes}");
        byte[] bytes = new byte[length];
        got = await socket.ReceiveAsync(bytes, cancellationToken).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        if (!got.IsOk) return (default, got.Message);
        if (refused) return (default, $"the peer refuses: {Printable(bytes)}");
        string? wrong = TryRead(bytes, maxRegions, out UcxGreeting greeting);
        return (greeting, wrong);
    }

    /// <summary>Reads what follows the head: null, or what is wrong with it.</summary>
    internal static string? TryRead(ReadOnlySpan<byte> bytes, int maxRegions, out UcxGreeting greeting)
    {
        greeting = default;
        if (bytes.Length < FixedBytes) return $"the greeting has {bytes.Length} bytes; at least {FixedBytes} were expected";
        int windowBytes = BinaryPrimitives.ReadInt32LittleEndian(bytes), count = BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]), address = BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]);
        if (windowBytes is < MinWindowBytes or > MaxWindowBytes) return $"the peer's window is {windowBytes} bytes; allowed: {MinWindowBytes} to {MaxWindowBytes}";
        if (count < 0 || count > maxRegions) return $"the peer announces {count} regions; allowed: 0 to {maxRegions}";
        bool sameHost = bytes.Slice(12, HostBytes).SequenceEqual(Host);
        bytes = bytes[FixedBytes..];
        if (address < 1 || address > MaxAddressBytes || address > bytes.Length) return $"the address of the peer's worker has {address} bytes of {bytes.Length}; allowed: 1 to {MaxAddressBytes}";
        // UCX reads addresses and keys without their length: zeros follow them.
        byte[] worker = new byte[address + MaxKeyBytes];
        bytes[..address].CopyTo(worker);
        bytes = bytes[address..];
        ImmutableArray<UcxRemoteRegion>.Builder regions = ImmutableArray.CreateBuilder<UcxRemoteRegion>(count);
        for (int i = 0; i < count; i++)
        {
            if (bytes.Length < RegionBytes) return $"region {i} has {bytes.Length} bytes; at least {RegionBytes} were expected";
            ulong start = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
            long length = BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]);
            int key = BinaryPrimitives.ReadInt32LittleEndian(bytes[16..]);
            if (length <= 0 || start == 0 || start > ulong.MaxValue - (ulong)length) return $"region {i} has {length} bytes at {start:x}";
            if (key < 1 || key > MaxKeyBytes || key > bytes.Length - RegionBytes) return $"the key of region {i} has {key} bytes of {bytes.Length - RegionBytes}; allowed: 1 to {MaxKeyBytes}";
            byte[] padded = new byte[2 * MaxKeyBytes];
            bytes.Slice(RegionBytes, key).CopyTo(padded);
            regions.Add(new UcxRemoteRegion(start, length, padded));
            bytes = bytes[(RegionBytes + key)..];
        }

        if (!bytes.IsEmpty) return $"{bytes.Length} bytes follow the last region";
        greeting = new UcxGreeting(windowBytes, sameHost, worker, regions.MoveToImmutable());
        return null;
    }

    // Goes into messages and logs of this side.
    private static string Printable(byte[] text) => string.Concat(Encoding.UTF8.GetString(text).Select(c => char.IsControl(c) ? ' ' : c));

    // Without the file no host is the same as another, this one included.
    private static byte[] ReadHost()
    {
        byte[] host = Guid.NewGuid().ToByteArray();
        try
        {
            if (Guid.TryParse(File.ReadAllText(BootFile, Encoding.ASCII).Trim(), out Guid boot)) host = boot.ToByteArray();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The fallback is what there is.
        }

        return host;
    }
}
