using System.Diagnostics;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>
/// Two network namespaces with one wire between them, for two programs: what they say to each other can take no other way. All ends with the
/// shell that runs them, which also ends when its input does: nothing outlives a test run that was killed.
/// </summary>
internal static class NetworkNamespaces
{
    internal const string Near = "192.168.77.1", Far = "192.168.77.2";

    // The file system of devices shows the namespace that mounted it; and a wire is not up before the kernel has looked at both ends.
    private const string Wire = """
        set -e
        exec 3<&0
        mount -t sysfs sysfs /sys
        unshare --net --mount sh -ec 'mount -t sysfs sysfs /sys; exec cat' <&3 & far=$!
        trap 'kill $far' EXIT
        until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.02; done
        there() { nsenter --target $far --net --mount "$@"; }
        ip link set lo up
        ip link add kvh0 type veth peer name kvh1 netns $far
        ip address add 192.168.77.1/24 dev kvh0
        ip link set kvh0 up
        there sh -ec 'ip link set lo up; ip address add 192.168.77.2/24 dev kvh1; ip link set kvh1 up'
        up() { "$@" | grep -q ' UP '; }
        until up ip -br link show kvh0 && up there ip -br link show kvh1; do sleep 0.05; done

        """;

    // The far program says "listening" when the near one may begin. Its exit code counts as well.
    private const string Programs = """
        said=$(mktemp)
        there dotnet "$1" "$2" decode "$3" <&3 > $said & receiver=$!
        trap 'kill $far; rm -f $said; kill -9 $receiver 2> /dev/null || true' EXIT
        until grep -q listening $said; do kill -0 $receiver; sleep 0.05; done
        dotnet "$1" "$2" prefill "$3" <&3
        wait $receiver
        cat $said
        """;

    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(10), Limit = TimeSpan.FromSeconds(90);
    private static readonly string[] AsRoot = ["--net", "--mount"], AsUser = ["--user", "--map-root-user", "--net", "--mount"];
    private static readonly Lazy<(string[]? How, string? Missing)> Probed = new(Probe);

    /// <summary>Why namespaces cannot be made here; null when they can.</summary>
    internal static string? Missing => Probed.Value.Missing;

    /// <summary>Runs tests/KvHandoff.TestPeer on both sides, and returns what both wrote.</summary>
    internal static (int ExitCode, string Output, string Errors) Run(string endpoint, int tokens) =>
        Shell(Probed.Value.How!, Wire + Programs, Limit, Path.Combine(AppContext.BaseDirectory, "KvHandoff.TestPeer.dll"), endpoint, tokens.ToString());

    private static (string[]?, string?) Probe()
    {
        string last = "";
        foreach (string[] how in new[] { AsRoot, AsUser })
        {
            try
            {
                (int code, _, string errors) = Shell(how, Wire, ProbeLimit);
                if (code == 0) return (how, null);
                last = errors.Trim();
            }
            catch (Exception e) when (e is System.ComponentModel.Win32Exception or TimeoutException)
            {
                last = e.Message;
            }
        }

        return (null, $"two network namespaces with a wire cannot be made here (unshare, ip, nsenter; root or user namespaces): {last}");
    }

    private static (int ExitCode, string Output, string Errors) Shell(string[] how, string script, TimeSpan limit, params string[] arguments)
    {
        ProcessStartInfo start = new("unshare", [.. how, "sh", "-c", script, "sh", .. arguments]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(limit))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"unshare {string.Join(' ', how)} did not end within {limit.TotalSeconds} s");
        }

        return (process.ExitCode, output.Result, errors.Result);
    }
}

/// <summary>A test over UCX between two network namespaces: skipped, with the reason, where either is missing.</summary>
internal sealed class UcxNamespacesFactAttribute : FactAttribute
{
    public UcxNamespacesFactAttribute() => Skip = KvHandoff.Transport.UcxTransport.Unavailable ?? NetworkNamespaces.Missing;
}
