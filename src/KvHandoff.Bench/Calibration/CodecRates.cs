using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.Kernels;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Calibration;

/// <summary>Rates of the codecs on one core of this machine, from <c>kernels --quick</c>: a codec that treats K and V differently gets the mean of both.</summary>
internal static class CodecRates
{
    private static readonly (string Codec, string[] Encode, string[] Decode)[] Kernels =
    [
        ("ew3", ["exponent-window encode, model K", "exponent-window encode, model V"], ["exponent-window decode, model K", "exponent-window decode, model V"]),
        ("fp8", ["pack bf16->e4m3 token-head"], ["unpack e4m3->bf16 token-head"]),
        ("int8", ["pack bf16->int8 channel-tile", "pack bf16->int8 token-head"], ["unpack int8->bf16 channel-tile", "unpack int8->bf16 token-head"]),
        ("lz4", ["lz4 encode, model K"], ["lz4 decode, model K"]),
    ];

    /// <summary>The kernels that tell all rates.</summary>
    internal static IReadOnlyList<KernelDefinition> Needed => [.. KernelCatalog.All.Where(k => Kernels.Any(c => c.Encode.Concat(c.Decode).Contains(k.BaseName)))];

    /// <summary>Puts what was measured in the place of the shipped rates.</summary>
    /// <param name="catalogue">To change.</param>
    /// <param name="kernels">Rows of a run; codecs that it lacks keep their rates.</param>
    /// <param name="source">For the table of sources.</param>
    /// <returns>Names of the codecs that were found.</returns>
    internal static IReadOnlyList<string> Apply(HardwareCatalogue catalogue, KernelSummary kernels, string source)
    {
        var found = new List<string>();
        foreach ((string name, string[] encode, string[] decode) in Kernels)
        {
            if (!catalogue.Codecs.TryGetValue(name, out CodecFigures? codec) || Mean(kernels, encode) is not { } encodes || Mean(kernels, decode) is not { } decodes) continue;
            catalogue.Codecs[name] = codec with { EncodeBytesPerSecond = new Figure(encodes, source), DecodeBytesPerSecond = new Figure(decodes, source) };
            found.Add(name);
        }

        return found;
    }

    // Equal bytes at different rates: the harmonic mean.
    private static double? Mean(KernelSummary kernels, string[] names)
    {
        double[] rates = [.. names.Select(n => kernels.Kernels.Where(k => k.Name == n).Select(k => k.Gbps * 1e9).FirstOrDefault())];
        return rates.All(r => r > 0) ? rates.Length / rates.Sum(r => 1 / r) : null;
    }
}
