using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Net.Sockets;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>The two messages by which a connection over shared memory begins; docs/shared-memory.md has their bytes.</summary>
internal static class SharedMemoryBootstrap
{
    /// <summary>Most regions that one listener shares.</summary>
    internal const int MaxRegions = 16;

    internal const int HelloBytes = 64, ReplyBytes = 32 + MaxRegions * sizeof(long);
    internal const uint Accepted = 0, UserRefused = 1, HelloRefused = 2;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> HelloMagic => "KVSHMRNG"u8;

    private static ReadOnlySpan<byte> ReplyMagic => "KVSHMRPL"u8;

    internal static byte[] Hello(int capacityBytes)
    {
        byte[] hello = new byte[HelloBytes];
        HelloMagic.CopyTo(hello);
        BinaryPrimitives.WriteUInt32LittleEndian(hello.AsSpan(8), Version);
        BinaryPrimitives.WriteInt32LittleEndian(hello.AsSpan(12), capacityBytes);
        BinaryPrimitives.WriteInt64LittleEndian(hello.AsSpan(16), RingLayout.MappingBytes(capacityBytes));
        return hello;
    }

    /// <summary>Checks a hello and the descriptors that came with it, and maps the ring; null and the reason when it is no such thing.</summary>
    internal static RingMemory? OpenHello(ReadOnlySpan<byte> hello, List<int> descriptors, out string? error)
    {
        if (CheckStart(hello, HelloMagic, out error)) return null;
        uint capacity = BinaryPrimitives.ReadUInt32LittleEndian(hello[12..]);
        long mapping = BinaryPrimitives.ReadInt64LittleEndian(hello[16..]);
        if (!RingLayout.IsCapacity(capacity))
            error = $"a ring of {capacity} bytes is offered; allowed: a power of two from {RingLayout.MinCapacityBytes} to {RingLayout.MaxCapacityBytes}";
        else if (mapping != RingLayout.MappingBytes((int)capacity))
            error = $"a mapping of {mapping} bytes is announced; rings of {capacity} bytes need {RingLayout.MappingBytes((int)capacity)}";
        else if (descriptors.Count != 1)
            error = $"{descriptors.Count} descriptors came with the hello; needed: 1";
        return error is null ? RingMemory.Adopt(descriptors[0], (int)capacity, out error) : null;
    }

    /// <summary>A reply: the lengths of the regions whose descriptors go along, or a refusal.</summary>
    internal static byte[] Reply(uint outcome, ImmutableArray<SharedSlab> regions)
    {
        byte[] reply = new byte[ReplyBytes];
        ReplyMagic.CopyTo(reply);
        BinaryPrimitives.WriteUInt32LittleEndian(reply.AsSpan(8), Version);
        BinaryPrimitives.WriteUInt32LittleEndian(reply.AsSpan(12), outcome);
        BinaryPrimitives.WriteInt32LittleEndian(reply.AsSpan(16), regions.Length);
        for (int i = 0; i < regions.Length; i++)
            BinaryPrimitives.WriteInt64LittleEndian(reply.AsSpan(32 + i * sizeof(long)), regions[i].LengthBytes);
        return reply;
    }

    /// <summary>Checks a reply; the regions own the descriptors then. Null and the reason when it is a refusal or no reply.</summary>
    internal static SharedMemoryRegions? OpenReply(ReadOnlySpan<byte> reply, List<int> descriptors, uint peerUserId, out string? error)
    {
        if (CheckStart(reply, ReplyMagic, out error)) return null;
        uint outcome = BinaryPrimitives.ReadUInt32LittleEndian(reply[12..]), count = BinaryPrimitives.ReadUInt32LittleEndian(reply[16..]);
        if (outcome != Accepted)
        {
            error = outcome switch
            {
                UserRefused => $"the listener, of user id {peerUserId}, does not admit user id {SharedMemorySocket.OwnUserId}",
                HelloRefused => "the listener refuses the ring that this side offers",
                _ => $"the listener refuses for the unknown reason {outcome}",
            };
            return null;
        }

        if (count > MaxRegions || count != descriptors.Count)
        {
            error = $"{count} regions are announced and {descriptors.Count} descriptors came; allowed: as many, and at most {MaxRegions}";
            return null;
        }

        long[] lengths = new long[count];
        for (int i = 0; i < lengths.Length; i++)
        {
            lengths[i] = BinaryPrimitives.ReadInt64LittleEndian(reply[(32 + i * sizeof(long))..]);
            long found = SharedMemorySocket.LengthOf(descriptors[i]);
            if (lengths[i] > 0 && lengths[i] <= found) continue;
            error = $"region {i} is announced with {lengths[i]} bytes, and its descriptor holds {found}";
            return null;
        }

        SharedMemoryRegions regions = new(lengths, [.. descriptors]);
        descriptors.Clear();
        return regions;
    }

    /// <summary>Receives exactly <paramref name="message"/> and up to <paramref name="mostDescriptors"/> descriptors; the reason when it fails.</summary>
    internal static async Task<string?> ReceiveAsync(Socket socket, byte[] message, List<int> descriptors, int mostDescriptors,
        CancellationToken cancellationToken)
    {
        int fd = (int)socket.Handle;
        for (int done = 0; done < message.Length;)
        {
            int count = SharedMemorySocket.TryReceive(fd, message.AsSpan(done), descriptors, out string? error);
            if (count == -2) return error;
            if (count == 0) return $"the peer left after {done} of {message.Length} bytes of the handshake";
            // Checked after every piece: a peer could send a descriptor with every byte.
            if (descriptors.Count > mostDescriptors) return $"{descriptors.Count} descriptors came; allowed: {mostDescriptors}";
            if (count > 0) done += count;
            else await SocketReadiness.WaitReadableAsync(fd, cancellationToken).ConfigureAwait(false);
        }
        return null;
    }

    internal static void CloseAll(List<int> descriptors)
    {
        foreach (int fd in descriptors) SharedMemorySocket.CloseDescriptor(fd);
        descriptors.Clear();
    }

    private static bool CheckStart(ReadOnlySpan<byte> message, ReadOnlySpan<byte> magic, out string? error)
    {
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(message[8..]);
        error = !message[..magic.Length].SequenceEqual(magic)
            ? $"the peer speaks another protocol: its first bytes are {Convert.ToHexString(message[..magic.Length])}, not {Convert.ToHexString(magic)}"
            : version != Version ? $"the peer speaks version {version}; this side speaks {Version}" : null;
        return error is not null;
    }
}
