using System.Collections.Immutable;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>Settings of a listener and of its connections, or of one outgoing connection. Immutable.</summary>
public sealed record TransportOptions
{
    /// <summary>The defaults.</summary>
    public static TransportOptions Default { get; } = new();

    /// <summary>Kernel send buffer in bytes.</summary>
    /// <remarks>Defaults to 0: the kernel tunes it. Fixed sizes were up to 40 % better and 40 % worse; measure on the link.</remarks>
    public int SendBufferBytes { get; init; }

    /// <summary>Kernel receive buffer in bytes.</summary>
    /// <remarks>Defaults to 0: the kernel tunes it.</remarks>
    public int ReceiveBufferBytes { get; init; }

    /// <summary>Send small messages at once (TCP_NODELAY).</summary>
    /// <remarks>Defaults to true.</remarks>
    public bool NoDelay { get; init; } = true;

    /// <summary>Longest time that a connect may take, name resolution included.</summary>
    /// <remarks>Defaults to 10 seconds; <see cref="Timeout.InfiniteTimeSpan"/> waits for ever.</remarks>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Longest time that <c>DisposeAsync</c> waits for a completed control pipe to be sent.</summary>
    /// <remarks>Defaults to 2 seconds.</remarks>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Let an unencrypted transport listen on an address that other hosts can reach.</summary>
    /// <remarks>Defaults to false. Everyone who can route to the address can then read and inject cache bytes.</remarks>
    public bool AllowRemotePlaintext { get; init; }

    /// <summary>Certificates and trust of <c>tls</c> endpoints.</summary>
    /// <remarks>Defaults to null: <c>tls</c> neither listens nor connects. Other transports ignore it.</remarks>
    public TlsOptions? Tls { get; init; }

    /// <summary>User ids whose processes may connect to a Unix socket or to shared memory.</summary>
    /// <remarks>Defaults to empty: the user of this process, and nobody else, not even root.</remarks>
    public ImmutableArray<uint> AllowedUserIds { get; init; } = [];

    /// <summary>Memory that peers of a shared-memory listener may map, read and write; they get every descriptor in this order.</summary>
    /// <remarks>Defaults to none. The regions must outlive the listener and its connections.</remarks>
    public ImmutableArray<SharedSlab> SharedRegions { get; init; } = [];

    /// <summary>Memory that peers of a <c>ucx</c> listener may write from afar; they get the keys of every region in this order.</summary>
    /// <remarks>Defaults to none. The regions must outlive the listener and its connections, and are registered (pinned where the network needs it) as long.</remarks>
    public ImmutableArray<MemoryRegion> RemoteRegions { get; init; } = [];

    /// <summary>Transports that UCX may choose from, in the form of its variable UCX_TLS, such as <c>rc,tcp</c>.</summary>
    /// <remarks>Defaults to null: what the environment says, else all that it has. Other transports ignore it.</remarks>
    public string? UcxTransports { get; init; }

    /// <summary>Whether a <c>ucx</c> listener lets peers write into <see cref="RemoteRegions"/>.</summary>
    /// <remarks>
    /// Defaults to null: where the network does so by itself (RDMA). True lets UCX emulate it elsewhere, for tests: that is slower than a stream, and UCX ends the process of a
    /// receiver whose sender dies in the middle of an emulated write.
    /// </remarks>
    public bool? UcxOneSided { get; init; }
}
