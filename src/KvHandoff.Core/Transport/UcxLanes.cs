using System.Text.RegularExpressions;

namespace KvHandoff.Transport;

/// <summary>Which transports and devices carry an endpoint. UCX 1.13 tells only in what it prints for people; newer versions print the same.</summary>
internal static partial class UcxLanes
{
    private const string NativeWrites = "rma";

    /// <summary>Such as <c>tcp/eth0</c>, or <c>rc_mlx5/mlx5_0:1 rma</c> where the device writes into the peer's memory by itself; empty when nothing was understood.</summary>
    internal static string Of(UcxEndpoint endpoint) => Read(endpoint.Describe());

    internal static string Read(string printed)
    {
        var lanes = new List<string>();
        foreach (string line in printed.Split('\n'))
        {
            Match lane = Lane().Match(line);
            if (!lane.Success) continue;
            lanes.Add(lane.Groups[1].Value);
            if (Writes().IsMatch(line)) lanes.Add(NativeWrites);
        }

        return string.Join(' ', lanes.Distinct());
    }

    /// <summary>Whether a device writes by itself: without such a lane UCX copies in the receiving process, message by message.</summary>
    internal static bool WriteNatively(string lanes) => lanes.Split(' ').Contains(NativeWrites);

    // "lane[1]:  0:tcp/lo.0 md[0]  -> md[0]/tcp/sysdev[255] rma_bw#0 am am_bw#0": the last words are what the lane is for, rma_bw only for rendezvous.
    [GeneratedRegex(@"lane\[\d+\]:\s+\d+:(\S+?)(?:\.\d+)?\s+md\[")]
    private static partial Regex Lane();

    [GeneratedRegex(@"\srma(?:#\d+)?(?=\s|$)")]
    private static partial Regex Writes();
}
