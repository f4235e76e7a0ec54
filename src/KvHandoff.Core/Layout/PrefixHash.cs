using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;

namespace KvHandoff.Layout;

/// <summary>
/// Names the cache content of a sequence's first whole granules: equal tokens from position 0 under the same model give the same hash, in every
/// process and on every machine. A chain, <c>h[i] = SHA-256(h[i-1] || 64 tokens)</c> cut to 16 bytes, so that a hash stands for everything before it.
/// </summary>
/// <remarks>
/// Tokens enter as int32, little-endian. <c>h[-1]</c> is <see cref="Root"/>: SHA-256, cut to 16 bytes, over the ASCII letters
/// <c>KVPREFIX1</c>, then name, revision and rope scaling, each as its length in bytes of UTF-8 (u32) and these bytes, then the 64 bits of the
/// rope theta, then the length of the salt (u32) and the salt; numbers little-endian. How a cache stores its rows does not enter: an index belongs to one cache.
/// </remarks>
public readonly record struct PrefixHash(UInt128 Value)
{
    /// <summary>Bytes of a hash.</summary>
    public const int Bytes = 16;

    /// <summary>The beginning of every chain of a model.</summary>
    /// <param name="model">All of it decides what the rows are.</param>
    /// <param name="salt">
    /// What else does: the adapter, a multimodal input; or a tenant's secret, where tenants must not learn each other's prefixes from
    /// what is reused. Empty when nothing does.
    /// </param>
    public static PrefixHash Root(ModelIdentity model, ReadOnlySpan<byte> salt = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        model.Validate();
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData("KVPREFIX1"u8);
        Append(hash, Encoding.UTF8.GetBytes(model.Name));
        Append(hash, Encoding.UTF8.GetBytes(model.Revision));
        Append(hash, Encoding.UTF8.GetBytes(model.RopeScaling));
        Span<byte> theta = stackalloc byte[sizeof(double)];
        BinaryPrimitives.WriteDoubleLittleEndian(theta, model.RopeTheta);
        hash.AppendData(theta);
        Append(hash, salt);
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(digest);
        return Read(digest);
    }

    /// <summary>The hash of one granule more.</summary>
    /// <param name="tokens">Its 64 token ids.</param>
    /// <exception cref="ArgumentException">They are not 64.</exception>
    public PrefixHash Next(ReadOnlySpan<int> tokens)
    {
        if (tokens.Length != KvSegment.GranuleTokens) throw new ArgumentException($"{tokens.Length} tokens were given; a granule has {KvSegment.GranuleTokens}.", nameof(tokens));
        Span<byte> data = stackalloc byte[Bytes + KvSegment.GranuleTokens * sizeof(int)], digest = stackalloc byte[SHA256.HashSizeInBytes];
        Write(data);
        for (int i = 0; i < tokens.Length; i++) BinaryPrimitives.WriteInt32LittleEndian(data[(Bytes + i * sizeof(int))..], tokens[i]);
        SHA256.HashData(data, digest);
        return Read(digest);
    }

    /// <summary>The hashes of all whole granules of a sequence.</summary>
    public static ImmutableArray<PrefixHash> Chain(ModelIdentity model, ReadOnlySpan<int> tokenIds, ReadOnlySpan<byte> salt = default)
    {
        PrefixHash at = Root(model, salt);
        var chain = ImmutableArray.CreateBuilder<PrefixHash>(tokenIds.Length / KvSegment.GranuleTokens);
        for (int i = 0; i < chain.Capacity; i++) chain.Add(at = at.Next(tokenIds.Slice(i * KvSegment.GranuleTokens, KvSegment.GranuleTokens)));
        return chain.MoveToImmutable();
    }

    /// <summary>The hash in the first 16 bytes of <paramref name="source"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer.</exception>
    public static PrefixHash Read(ReadOnlySpan<byte> source) => new(BinaryPrimitives.ReadUInt128BigEndian(source));

    /// <summary>Writes the 16 bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is room for fewer.</exception>
    public void Write(Span<byte> destination) => BinaryPrimitives.WriteUInt128BigEndian(destination, Value);

    /// <summary>The bytes in hexadecimal.</summary>
    public override string ToString() => Value.ToString("x32");

    private static void Append(IncrementalHash hash, ReadOnlySpan<byte> field)
    {
        Span<byte> length = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(length, field.Length);
        hash.AppendData(length);
        hash.AppendData(field);
    }
}
