using KvHandoff.Codec;

namespace KvHandoff.Bench.Handoff;

/// <summary>A codec as it is named on the command line: one of the library's, or the choice that the sender makes frame by frame.</summary>
/// <param name="Name">On the command line and in results.</param>
/// <param name="Id">In offers.</param>
/// <param name="Expected">What rows look like after the handoff: encoded and decoded with this codec.</param>
internal sealed record OfferedCodec(string Name, CodecId Id, IKvCodec Expected)
{
    /// <summary>Frames choose, raw or lossless.</summary>
    private static readonly OfferedCodec Auto = new("auto", CodecId.Auto, KvCodecs.Raw);

    /// <summary>All that can be named.</summary>
    internal static IReadOnlyList<OfferedCodec> All { get; } = [.. KvCodecs.All.Select(c => new OfferedCodec(c.Name, c.Id, c)), Auto];

    /// <summary>Whether landed rows may differ from the sent ones.</summary>
    internal bool IsLossy => Expected.IsLossy;

    /// <summary>The codec of that name.</summary>
    internal static OfferedCodec Find(string name) =>
        All.FirstOrDefault(c => c.Name == name) ?? throw new ArgumentException($"Codec '{name}' is not one of {string.Join(", ", All.Select(c => c.Name))}.", nameof(name));
}
