using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;
using KvHandoff.Memory;

namespace KvHandoff.Transport;

/// <summary>A UCX context: the devices and transports that its workers use, and the memory that is registered with them. One per list of transports, for the life of the process.</summary>
internal sealed unsafe class UcxContext
{
    private static readonly ConcurrentDictionary<string, Lazy<UcxContext>> ByTransports = new();

    private static readonly delegate* unmanaged[Cdecl]<byte*, byte*, nint*, int> ConfigRead = (delegate* unmanaged[Cdecl]<byte*, byte*, nint*, int>)UcxLibrary.Export("ucp_config_read");
    private static readonly delegate* unmanaged[Cdecl]<nint, byte*, byte*, int> ConfigModify = (delegate* unmanaged[Cdecl]<nint, byte*, byte*, int>)UcxLibrary.Export("ucp_config_modify");
    private static readonly delegate* unmanaged[Cdecl]<nint, void> ConfigRelease = (delegate* unmanaged[Cdecl]<nint, void>)UcxLibrary.Export("ucp_config_release");
    private static readonly delegate* unmanaged[Cdecl]<uint, uint, void*, nint, nint*, int> InitVersion = (delegate* unmanaged[Cdecl]<uint, uint, void*, nint, nint*, int>)UcxLibrary.Export("ucp_init_version");
    private static readonly delegate* unmanaged[Cdecl]<nint, void*, nint*, int> MemoryMap = (delegate* unmanaged[Cdecl]<nint, void*, nint*, int>)UcxLibrary.Export("ucp_mem_map");
    private static readonly delegate* unmanaged[Cdecl]<nint, nint, int> MemoryUnmap = (delegate* unmanaged[Cdecl]<nint, nint, int>)UcxLibrary.Export("ucp_mem_unmap");
    private static readonly delegate* unmanaged[Cdecl]<nint, nint, void**, nuint*, int> KeyPack = (delegate* unmanaged[Cdecl]<nint, nint, void**, nuint*, int>)UcxLibrary.Export("ucp_rkey_pack");
    private static readonly delegate* unmanaged[Cdecl]<void*, void> KeyRelease = (delegate* unmanaged[Cdecl]<void*, void>)UcxLibrary.Export("ucp_rkey_buffer_release");

    private UcxContext(string transports) => Handle = Open(transports);

    internal nint Handle { get; }

    /// <summary>The context for a list of transports in the form of UCX_TLS; null: as the environment says.</summary>
    /// <exception cref="TransportException">UCX is missing, or has none of these transports.</exception>
    internal static UcxContext Of(string? transports)
    {
        if (UcxLibrary.Missing is { } missing) throw new TransportException(TransportStatus.Failed, $"UCX cannot be used: {missing}");
        return ByTransports.GetOrAdd(transports ?? "", key => new Lazy<UcxContext>(() => new UcxContext(key))).Value;
    }

    /// <summary>Registers memory for writes by peers.</summary>
    /// <returns>The handle for <see cref="Unmap"/>, and the key that peers need.</returns>
    /// <exception cref="TransportException">UCX refuses; registered memory may be limited (ulimit -l).</exception>
    internal (nint Handle, byte[] Key) Map(MemoryRegion region)
    {
        byte* parameters = stackalloc byte[UcxStructures.MemoryBytes];
        new Span<byte>(parameters, UcxStructures.MemoryBytes).Clear();
        *(ulong*)parameters = UcxStructures.MemoryAddressField | UcxStructures.MemoryLengthField;
        *(nint*)(parameters + UcxStructures.MemoryAddress) = region.Address;
        *(long*)(parameters + UcxStructures.MemoryLength) = region.LengthBytes;
        nint handle;
        Check(MemoryMap(Handle, parameters, &handle), $"register {region.LengthBytes} bytes for writes by peers (ulimit -l may bound it)");
        void* packed;
        nuint length;
        int status = KeyPack(Handle, handle, &packed, &length);
        if (status != UcxStructures.Ok)
        {
            Unmap(handle);
            Check(status, "pack a remote key");
        }

        byte[] key = new ReadOnlySpan<byte>(packed, (int)length).ToArray();
        KeyRelease(packed);
        return (handle, key);
    }

    internal void Unmap(nint memory) => _ = MemoryUnmap(Handle, memory);

    /// <summary>Throws for a status that is an error.</summary>
    internal static void Check(int status, string action)
    {
        if (status != UcxStructures.Ok) throw new TransportException(TransportStatus.Failed, $"UCX {UcxLibrary.Version} cannot {action}: {UcxLibrary.Text(status)}");
    }

    private static nint Open(string transports)
    {
        nint config, context;
        Check(ConfigRead(null, null, &config), "read its settings from the environment");
        try
        {
            if (transports.Length > 0) Modify(config, "TLS", transports);
            byte* parameters = stackalloc byte[UcxStructures.ContextBytes];
            new Span<byte>(parameters, UcxStructures.ContextBytes).Clear();
            *(ulong*)parameters = UcxStructures.ContextFeaturesField;
            *(ulong*)(parameters + UcxStructures.ContextFeatures) = UcxStructures.RmaFeature | UcxStructures.WakeupFeature | UcxStructures.MessagesFeature;
            Check(InitVersion(UcxLibrary.Major, UcxLibrary.OldestMinor, parameters, config, &context), transports.Length > 0 ? $"start with the transports {transports}" : "start");
            return context;
        }
        finally
        {
            ConfigRelease(config);
        }
    }

    private static void Modify(nint config, string name, string value)
    {
        fixed (byte* n = Terminated(name), v = Terminated(value)) Check(ConfigModify(config, n, v), $"set {name} to {value}");
    }

    private static byte[] Terminated(string text)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }
}
