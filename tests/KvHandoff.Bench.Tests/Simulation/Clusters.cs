using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Simulation;

/// <summary>Clusters that tests begin with.</summary>
internal static class Clusters
{
    internal static readonly HardwareCatalogue Catalogue = HardwareCatalogue.Default();

    internal static Deployment Llama(string link) => new()
    {
        Model = Catalogue.Models["llama-3.3-70b"],
        Prefill = Catalogue.Nodes["trn3-16"],
        Decode = Catalogue.Nodes["cs3-8"],
        Link = Catalogue.FindLink(link)!,
        Codec = Catalogue.Codecs["raw"],
    };

    /// <summary>One link and nothing else: prefill and decode take no time, messages cost nothing.</summary>
    internal static SimulationSettings OneLink(double gigabits, LinkSharing sharing = LinkSharing.Fifo)
    {
        Deployment deployment = Llama("100G");
        return new SimulationSettings
        {
            Deployment = deployment with { Link = deployment.Link with { BitsPerSecond = new Figure(gigabits * 1e9, "test"), MessageSeconds = new Figure(0, "test") } },
            IsPrefillInstant = true,
            IsDecodeInstant = true,
            Sharing = sharing,
        };
    }

    /// <summary>Seconds between the grant and the first byte.</summary>
    internal static double MeanLinkWait(SimulationResult result) => result.Done.Average(r => r.LinkStart - r.Arrival);

    /// <summary>A model whose prefill time is proportional to the prompt: no attention to speak of.</summary>
    internal static ModelGeometry LinearModel { get; } = new("linear", "linear", [], [new LayerGeometry(1, AttentionKind.Full, 1, 1, 1, int.MaxValue, 0, 0, "test")],
        new Figure(1e9, "test"), new Figure(1e9, "test"), new Figure(1e9, "test"));
}
