using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace KvHandoff.Session;

/// <summary>What Linux tells about socket buffers and NUMA nodes; null where it tells nothing.</summary>
internal static class HostSettings
{
    /// <summary>The size up to which the kernel tunes a TCP send buffer.</summary>
    internal static long? LargestTunedSendBuffer() => ThirdNumber(ReadText("/proc/sys/net/ipv4/tcp_wmem"));

    /// <summary>The node of the device that packets to <paramref name="address"/> leave by; null on hosts with one node.</summary>
    internal static int? NumaNodeOfRoute(IPAddress address)
    {
        if (!Directory.Exists("/sys/devices/system/node/node1")) return null;
        try
        {
            // Connecting a datagram socket sends nothing; it asks for the route.
            using var probe = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            probe.Connect(address, 9);
            IPAddress local = ((IPEndPoint)probe.LocalEndPoint!).Address;
            NetworkInterface? device = NetworkInterface.GetAllNetworkInterfaces().FirstOrDefault(n => n.GetIPProperties().UnicastAddresses.Any(u => u.Address.Equals(local)));
            return device is null ? null : Node(ReadText($"/sys/class/net/{device.Name}/device/numa_node"));
        }
        catch (Exception e) when (e is SocketException or NetworkInformationException or PlatformNotSupportedException)
        {
            return null;
        }
    }

    /// <summary>The node that most pages of the mapping at <paramref name="address"/> lie at.</summary>
    internal static int? NumaNodeOfMemory(nint address) => NumaNodeOfMemory(ReadText("/proc/self/numa_maps"), address);

    /// <summary>The same, from the text of <c>numa_maps</c>: lines of a start address, a policy and <c>N0=pages</c> per node.</summary>
    internal static int? NumaNodeOfMemory(string? maps, nint address)
    {
        string? holding = null;
        foreach (string line in maps?.Split('\n', StringSplitOptions.RemoveEmptyEntries) ?? [])
        {
            int end = line.IndexOf(' ');
            if (end <= 0 || !ulong.TryParse(line.AsSpan(0, end), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong start)) continue;
            if (start > (ulong)address) break;
            holding = line;
        }

        (int? node, long most) = (null, 0);
        foreach (string word in holding?.Split(' ') ?? [])
        {
            int equals = word.IndexOf('=');
            if (word.Length < 4 || word[0] != 'N' || equals < 2 || !int.TryParse(word.AsSpan(1, equals - 1), out int candidate)) continue;
            if (!long.TryParse(word.AsSpan(equals + 1), out long pages) || pages <= most) continue;
            (node, most) = (candidate, pages);
        }

        return node;
    }

    /// <summary>The last of three numbers, as <c>tcp_wmem</c> has them.</summary>
    internal static long? ThirdNumber(string? text)
    {
        string[] words = text?.Split([' ', '\t', '\n'], StringSplitOptions.RemoveEmptyEntries) ?? [];
        return words.Length >= 3 && long.TryParse(words[2], out long number) ? number : null;
    }

    // -1 is what the kernel says of a device that belongs to no node.
    private static int? Node(string? text) => int.TryParse(text, out int node) && node >= 0 ? node : null;

    private static string? ReadText(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
