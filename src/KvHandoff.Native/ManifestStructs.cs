using System.Collections.Immutable;
using System.Runtime.InteropServices;
using KvHandoff.Wire;

namespace KvHandoff.Native;

/// <summary>Manifests across the border.</summary>
static unsafe class ManifestStructs
{
    /// <summary>A copy of the host's.</summary>
    internal static HandoffManifest Read(in KvhManifest m)
    {
        int ids = HostStructs.RequireRange(m.TokenCount, 0, WireConstants.MaxTokens, "token_count");
        int state = HostStructs.RequireRange(m.SamplerStateBytes, 0, WireConstants.MaxSamplerStateBytes, "sampler_state_bytes");
        int metadata = HostStructs.RequireRange(m.HostMetadataBytes, 0, WireConstants.MaxMetadataBytes, "host_metadata_bytes");
        if (ids > 0) HostStructs.RequireNotNull(m.TokenIds);
        if (state > 0) HostStructs.RequireNotNull(m.SamplerState);
        if (metadata > 0) HostStructs.RequireNotNull(m.HostMetadata);
        return new HandoffManifest(ImmutableArray.Create(new ReadOnlySpan<int>(m.TokenIds, ids)), m.Position, m.FirstToken,
            new ReadOnlySpan<byte>(m.SamplerState, state).ToArray(), new ReadOnlySpan<byte>(m.HostMetadata, metadata).ToArray());
    }

    /// <summary>One in memory of its own, for the host to read: the struct's arrays lie behind one another in it.</summary>
    internal static KvhManifest Write(HandoffManifest m, out nint memory)
    {
        ReadOnlySpan<int> ids = m.TokenIds.IsDefault ? default : m.TokenIds.AsSpan();
        memory = (nint)NativeMemory.Alloc((nuint)(ids.Length * sizeof(int) + m.SamplerState.Length + m.HostMetadata.Length + 1));
        int* tokens = (int*)memory;
        byte* state = (byte*)(tokens + ids.Length), metadata = state + m.SamplerState.Length;
        ids.CopyTo(new Span<int>(tokens, ids.Length));
        m.SamplerState.Span.CopyTo(new Span<byte>(state, m.SamplerState.Length));
        m.HostMetadata.Span.CopyTo(new Span<byte>(metadata, m.HostMetadata.Length));
        return new KvhManifest
        {
            Position = m.Position,
            FirstToken = m.FirstToken,
            TokenCount = ids.Length,
            TokenIds = tokens,
            SamplerState = state,
            SamplerStateBytes = (uint)m.SamplerState.Length,
            HostMetadata = metadata,
            HostMetadataBytes = (uint)m.HostMetadata.Length,
        };
    }

    internal static void Free(nint memory) => NativeMemory.Free((void*)memory);
}
